package data

import (
	"strings"
	"testing"
)

func TestMaskCheck(t *testing.T) {
	for _, test := range []struct {
		name string
		mask *Mask
		want string // "" for no error
	}{
		{"all values", &Mask{3, 1, []uint8{MaskBackground, MaskObject, MaskIgnored}}, ""},
		{"one pixel", &Mask{1, 1, []uint8{0}}, ""},
		{"none", nil, "there is no mask"},
		{"no pixels", &Mask{}, "0 values do not make a mask of 0 x 0 pixels"},
		{"too few", &Mask{2, 2, make([]uint8, 3)}, "3 values do not make a mask of 2 x 2 pixels"},
		{"too many", &Mask{2, 2, make([]uint8, 5)}, "5 values do not make a mask of 2 x 2 pixels"},
		{"negative size", &Mask{-2, -2, make([]uint8, 4)}, "4 values do not make a mask of -2 x -2 pixels"},
		{"another value", &Mask{2, 3, []uint8{0, 1, 255, 0, 1, 2}}, "the value 2 at row 2, column 1: want 0, 1 or 255"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.mask.Check()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestMaskOf: the mask is that of the data set, however often it is wrapped.
func TestMaskOf(t *testing.T) {
	ds, _ := pictured(t, 4)
	m := masked{ds}
	for name, with := range map[string]Dataset{"itself": m, "wrapped": wrapped{m}, "wrapped twice": wrapped{plusOne{m}}} {
		mask, err := MaskOf(with, 2)
		if err != nil || mask.Width != 3 || !HasMasks(with) {
			t.Errorf("%s: mask %v, %v", name, mask, err)
		}
	}
	for name, without := range map[string]Dataset{"folder": ds, "wrapped": wrapped{wrapped{ds}}, "hidden": opaque{m}} {
		if HasMasks(without) {
			t.Errorf("%s: has masks", name)
		}
		if _, err := MaskOf(without, 2); err == nil || !strings.Contains(err.Error(), "y/c.png: it is not known where the object is") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if HasMasks(nil) {
		t.Error("nothing has masks")
	}
}
