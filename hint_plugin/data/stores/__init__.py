"""`FrameStore`: many labelled frames in HDF5 files, one or several."""
