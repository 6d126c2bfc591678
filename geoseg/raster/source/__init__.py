"""What gives pixels to a scene: names, files, VRTs and servers, described and checked before any work."""
