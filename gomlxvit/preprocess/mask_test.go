package preprocess

import (
	"slices"
	"testing"
)

// Masks as Pillow 12's resize with NEAREST and a crop at the place of torchvision's CenterCrop bring them.
func TestMaskIsPillows(t *testing.T) {
	for _, test := range []struct {
		width, height, size int
		cropPct             float64
		values, want        []uint8
	}{
		{7, 5, 4, 1,
			[]uint8{1, 1, 2, 2, 2, 2, 0, 1, 0, 2, 2, 1, 2, 2, 0, 0, 2, 2, 2, 0, 1, 0, 1, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0, 2},
			[]uint8{1, 2, 2, 2, 1, 2, 2, 1, 0, 0, 0, 2, 2, 0, 0, 0}},
		{5, 9, 6, 0.75,
			[]uint8{1, 1, 0, 2, 0, 0, 0, 1, 1, 1, 1, 2, 1, 2, 2, 1, 1, 1, 0, 1, 0, 1, 1, 2, 1, 0, 2, 2, 2, 1, 2, 1, 2, 0, 0, 1, 2, 2, 1, 1, 0, 2, 1, 2, 0},
			[]uint8{1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1, 0, 2, 2, 2, 2, 1, 2, 1, 2, 2, 0, 0}},
		{9, 4, 3, 0.6,
			[]uint8{0, 1, 0, 1, 1, 1, 1, 1, 2, 1, 2, 2, 1, 0, 0, 1, 2, 0, 0, 0, 0, 0, 2, 2, 1, 2, 1, 0, 0, 0, 0, 2, 0, 2, 2, 0},
			[]uint8{1, 0, 0, 0, 2, 2, 0, 2, 2}},
	} {
		c := Config{Library: Timm, Size: [2]int{test.size, test.size}, CropPct: test.cropPct, Std: [3]float32{1, 1, 1}}
		got, err := c.Mask(test.values, test.width, test.height, 255)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%d x %d to %d:\n got %v\nwant %v", test.width, test.height, test.size, got, test.want)
		}
	}
}

// What open_clip pads is outside of the picture.
func TestMaskOutside(t *testing.T) {
	c := Config{Library: OpenCLIP, Size: [2]int{4, 4}, ResizeMode: "longest", Std: [3]float32{1, 1, 1}}
	got, err := c.Mask([]uint8{1, 0}, 2, 1, 255)
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint8{255, 255, 255, 255, 1, 1, 0, 0, 1, 1, 0, 0, 255, 255, 255, 255}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, size := range [][2]int{{0, 1}, {1, 1}, {-1, -2}} {
		if _, err := c.Mask([]uint8{1, 0}, size[0], size[1], 255); err == nil {
			t.Errorf("2 values for %v pixels: no error", size)
		}
	}
}
