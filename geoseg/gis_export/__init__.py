"""`geoseg export`: published results as files of other GIS programs, with styles, and as a project of QGIS."""
