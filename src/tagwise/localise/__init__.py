"""Where things are: boxes, masks, keypoints and pixels on our backbones."""
