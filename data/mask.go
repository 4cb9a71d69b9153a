package data

import (
	"errors"
	"fmt"
)

// What a pixel of a [Mask] may be.
const (
	MaskBackground uint8 = 0
	MaskObject     uint8 = 1
	MaskIgnored    uint8 = 255 // unlabelled, or the line around an object: it counts for nothing
)

// Mask says which pixels of a picture show the object of its class.
type Mask struct {
	Width, Height int     // of the picture, as its file has it
	Pix           []uint8 // [Height*Width], row by row: MaskBackground, MaskObject or MaskIgnored
}

// Check says what is wrong with a mask, if anything is.
func (m *Mask) Check() error {
	switch {
	case m == nil:
		return errors.New("there is no mask")
	case m.Width < 1 || m.Height < 1 || len(m.Pix) != m.Width*m.Height:
		return fmt.Errorf("%d values do not make a mask of %d x %d pixels", len(m.Pix), m.Width, m.Height)
	}
	for i, v := range m.Pix {
		if v != MaskBackground && v != MaskObject && v != MaskIgnored {
			return fmt.Errorf("the mask has the value %d at row %d, column %d: want %d, %d or %d", v, i/m.Width, i%m.Width,
				MaskBackground, MaskObject, MaskIgnored)
		}
	}
	return nil
}

// Masked is a data set that knows where in its pictures the objects are.
type Masked interface {
	Dataset
	// Mask reads the mask of picture i, which has the size of the picture. It may be called from many goroutines.
	Mask(i int) (*Mask, error)
}

// MaskOf is the mask of picture i of ds, or of a data set that it wraps; an error where no mask is known.
func MaskOf(ds Dataset, i int) (*Mask, error) {
	for inner := ds; inner != nil; {
		if masked, ok := inner.(Masked); ok {
			return masked.Mask(i)
		}
		wrapper, ok := inner.(Wrapper)
		if !ok {
			break
		}
		inner = wrapper.Unwrap()
	}
	return nil, fmt.Errorf("%s: it is not known where the object is", ds.Item(i).Name)
}

// HasMasks reports whether ds, or a data set that it wraps, knows masks.
func HasMasks(ds Dataset) bool {
	for ds != nil {
		if _, ok := ds.(Masked); ok {
			return true
		}
		wrapper, ok := ds.(Wrapper)
		if !ok {
			return false
		}
		ds = wrapper.Unwrap()
	}
	return false
}
