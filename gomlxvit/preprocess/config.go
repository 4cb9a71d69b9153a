package preprocess

// Config says how a picture becomes the input of a model: which library's evaluation transform is followed, and with
// which numbers. A checkpoint's configuration file fills it, see package checkpoint.
type Config struct {
	// Library is the library whose transform is followed: "timm" or "open_clip".
	Library string
	// Size is the height and width, in pixels, of what the model sees.
	Size [2]int
	// Interpolation is the filter of the resize: "bicubic", "bilinear" or another name that timm knows.
	Interpolation string
	// CropPct is the share of the resized picture's shorter side that the crop keeps (timm only): the picture is
	// resized to floor(size / CropPct) first.
	CropPct float64
	// CropMode is how timm comes to the size: "center", "squash" or "border".
	CropMode string
	// ResizeMode is how open_clip comes to the size: "shortest", "squash" or "longest".
	ResizeMode string
	// FillColor is the 8-bit value of the border where a picture has to be padded (open_clip's "longest").
	FillColor int
	// Mean and Std, of values in 0..1 and in the order red, green, blue, normalise the pixels: (x - Mean) / Std.
	Mean, Std [3]float32
}
