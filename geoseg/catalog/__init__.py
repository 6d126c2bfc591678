"""What a scene is made of: files that are looked for, and the description of several as one scene."""
