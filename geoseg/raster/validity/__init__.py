"""What makes a pixel of a scene valid beyond what its own file declares, in pixels of the scene."""
