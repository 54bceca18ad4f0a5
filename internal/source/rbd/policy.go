package rbd

// Policy decides which images of the pools are captured.
type Policy struct{}

// skip says why an image is not captured, or "".
func (p Policy) skip(*image) string { return "" }

// silent reports whether an image that is skipped for that reason need not be told of.
func (p Policy) silent(string) bool { return false }
