"""ImageNet, Pascal VOC, COCO and Open Images: tables of classes and look-ups in them."""
