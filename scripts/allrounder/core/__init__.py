"""The lowest layer: rows, paths, errors, files, URLs, tars, photos, licences."""
