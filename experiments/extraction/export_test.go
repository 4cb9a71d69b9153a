package extraction

import "github.com/gomlx/compute"

// SetAccelerated makes backends count as accelerators, until restore is called.
func SetAccelerated() (restore func()) {
	real := accelerated
	accelerated = func(compute.Backend) bool { return true }
	return func() { accelerated = real }
}

// FitsMemory is fitsMemory.
func FitsMemory(perPicture, pictures int) error { return fitsMemory(perPicture, pictures) }
