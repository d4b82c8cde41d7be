"""The work behind the stage scripts: one small module for each thing the pipeline does."""
