"""Sources of a scene's pixels: names, files, VRTs and servers, described and checked before a run."""
