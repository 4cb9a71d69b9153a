package preprocess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vitdecompose/data"
	"vitdecompose/data/picture"
)

// Every data set can be loaded.
var _ Source = data.Dataset(nil)

func vitConfig() Config {
	return Config{
		Library: Timm, Size: [2]int{224, 224}, Interpolation: "bicubic", CropPct: 0.9, CropMode: "center",
		Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5},
	}
}

// noise returns a picture of random pixels.
func noise(mode picture.Mode, w, h int, seed uint64) *picture.Picture {
	p := picture.New(mode, w, h)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range p.Pix {
		p.Pix[i] = byte(r.Uint32())
	}
	if mode == picture.Palette {
		p.Palette = make([]byte, 3*256)
		for i := range p.Palette {
			p.Palette[i] = byte(r.Uint32())
		}
	}
	return p
}

// TestLayout's numbers were worked out with the size computations of timm 1.0.31's ResizeKeepRatio and center_crop_or_pad,
// open_clip 3.3.0's and torchvision's Resize and center_crop, in Python for its rounding.
func TestLayout(t *testing.T) {
	timm := func(mode string, pct float64, h, w int) Config {
		return Config{Library: Timm, CropMode: mode, CropPct: pct, Size: [2]int{h, w}}
	}
	clip := func(mode string, h, w int) Config {
		return Config{Library: OpenCLIP, ResizeMode: mode, Size: [2]int{h, w}}
	}
	for _, c := range []struct {
		config        Config
		width, height int
		want          layout
	}{
		{timm("", 0.875, 224, 224), 500, 375, layout{341, 256, 58, 16}}, // (341-224)/2 = 58.5 goes to the even 58
		{timm("center", 0.9, 224, 224), 375, 500, layout{248, 330, 12, 53}},
		{timm("center", 0, 224, 224), 500, 375, layout{341, 256, 58, 16}},
		{timm("center", 1, 224, 224), 300, 301, layout{224, 224, 0, 0}},
		{timm("center", 1, 518, 518), 640, 427, layout{776, 518, 129, 0}},
		{timm("center", 0.9, 224, 112), 400, 400, layout{248, 248, 68, 12}}, // shorter side by the larger of 248 and 124
		{timm("center", 1.5, 224, 224), 300, 300, layout{149, 149, -37, -37}},
		{timm("squash", 1, 224, 224), 500, 375, layout{224, 224, 0, 0}},
		{timm("squash", 0.9, 224, 196), 500, 375, layout{217, 248, 10, 12}}, // 10.5 goes to the even 10
		{timm("border", 1, 224, 224), 500, 375, layout{224, 168, 0, -28}},
		{timm("border", 0.9, 224, 224), 375, 501, layout{186, 248, -19, 12}},
		{clip("", 224, 224), 500, 375, layout{298, 224, 37, 0}},
		{clip("shortest", 224, 336), 500, 375, layout{336, 252, 0, 14}},
		{clip("squash", 224, 224), 500, 375, layout{224, 224, 0, 0}},
		{clip("longest", 224, 224), 500, 333, layout{224, 149, 0, -37}},
		{clip("longest", 384, 384), 10, 1000, layout{4, 384, -190, 0}},
	} {
		got, err := c.config.layout(c.width, c.height)
		if err != nil || got != c.want {
			t.Errorf("%s %s%s %v of %dx%d: got %+v, %v; want %+v", c.config.Library, c.config.CropMode, c.config.ResizeMode,
				c.config.Size, c.width, c.height, got, err, c.want)
		}
	}
	for _, size := range [][2]int{{1, 1 << 22}, {1 << 22, 1}} {
		if l, err := timm("center", 0.875, 224, 224).layout(size[0], size[1]); err == nil {
			t.Errorf("a picture of %v is resized to %+v", size, l)
		}
	}
	// With "longest", the shorter side of a thin picture rounds to nothing.
	if l, err := clip("longest", 224, 224).layout(10000, 3); err == nil {
		t.Errorf("a picture of 10000x3 is resized to %+v", l)
	}
}

func TestCheck(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"library":       func(c *Config) { c.Library = "keras" },
		"size":          func(c *Config) { c.Size[1] = 0 },
		"1073741824":    func(c *Config) { c.Size[0] = 1 << 30 },
		"interpolation": func(c *Config) { c.Interpolation = "cubist" },
		"crop_mode":     func(c *Config) { c.CropMode = "centre" },
		"crop_pct":      func(c *Config) { c.CropPct = -1 },
		"std":           func(c *Config) { c.Std[2] = 0 },
		"resize_mode":   func(c *Config) { c.Library, c.ResizeMode = OpenCLIP, "long" },
		"fill_color":    func(c *Config) { c.Library, c.FillColor = OpenCLIP, 256 },
	} {
		c := vitConfig()
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error of a bad %s is %v", field, err)
		}
		if _, applyErr := c.Apply(noise(picture.RGB, 4, 4, 0)); applyErr == nil {
			t.Errorf("a bad %s is applied", field)
		}
	}
}

// Only the part that a crop shows is computed; it must be what cropping the whole resized picture gives.
func TestResizeOfPart(t *testing.T) {
	names := []string{nearest}
	for name := range filters {
		names = append(names, name)
	}
	slices.Sort(names)
	r := rand.New(rand.NewPCG(7, 7))
	for mode := picture.Bilevel; mode <= picture.CMYK; mode++ {
		for _, name := range names {
			for range 8 {
				p := noise(mode, 1+r.IntN(60), 1+r.IntN(60), r.Uint64())
				w, h := 1+r.IntN(60), 1+r.IntN(60)
				switch r.IntN(4) {
				case 0:
					w = p.Width
				case 1:
					h = p.Height
				}
				x0, y0 := r.IntN(w), r.IntN(h)
				part := rect{x0, y0, x0 + 1 + r.IntN(w-x0), y0 + 1 + r.IntN(h-y0)}
				whole, err := resize(p, w, h, rect{0, 0, w, h}, name)
				if err != nil {
					t.Fatal(err)
				}
				got, err := resize(p, w, h, part, name)
				if err != nil {
					t.Fatal(err)
				}
				if err := got.Check(); err != nil {
					t.Fatal(err)
				}
				if want := crop(whole, part); !bytes.Equal(got.Pix, want.Pix) {
					t.Errorf("%s %s %dx%d to %dx%d: part %v differs from the whole", mode, name, p.Width, p.Height, w, h, part)
				}
			}
		}
	}
}

// A picture of one colour stays that colour under every filter, in every mode and at every size.
func TestResizeKeepsColour(t *testing.T) {
	for mode := picture.Bilevel; mode <= picture.CMYK; mode++ {
		for name := range filters {
			for _, size := range [][2]int{{3, 40}, {40, 3}, {40, 40}, {9, 17}} {
				p := picture.New(mode, 17, 9)
				for i := range p.Pix {
					p.Pix[i] = 255
				}
				q, err := resize(p, size[0], size[1], rect{0, 0, size[0], size[1]}, name)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range q.Pix {
					if v != 255 {
						t.Fatalf("%s %s to %v: white became %d", mode, name, size, v)
					}
				}
			}
		}
	}
}

// The values were computed with Pillow 13.0.0: Image.frombytes(mode, size, data).resize(size, filter).
func TestResizeValues(t *testing.T) {
	grey := []byte{0, 255, 10, 200, 30, 90, 250, 5, 60, 120, 180, 240}
	for _, c := range []struct {
		mode          picture.Mode
		width, height int
		pix           []byte
		toW, toH      int
		filter        string
		want          []byte
	}{
		{picture.Grey, 4, 3, grey, 3, 2, "nearest", []byte{0, 10, 200, 60, 180, 240}},
		{picture.Grey, 4, 3, grey, 3, 2, "lanczos", []byte{64, 158, 99, 50, 167, 174}},
		{picture.Grey, 4, 3, grey, 3, 2, "bilinear", []byte{66, 147, 119, 67, 158, 168}},
		{picture.Grey, 4, 3, grey, 3, 2, "bicubic", []byte{61, 152, 110, 57, 163, 173}},
		{picture.Grey, 4, 3, grey, 3, 2, "box", []byte{15, 152, 103, 60, 150, 240}},
		{picture.Grey, 4, 3, grey, 3, 2, "hamming", []byte{39, 143, 136, 61, 156, 179}},
		{picture.Grey, 4, 3, grey, 5, 2, "nearest", []byte{0, 255, 10, 10, 200, 60, 120, 180, 180, 240}},
		{picture.Grey, 4, 3, grey, 5, 2, "lanczos", []byte{0, 148, 171, 88, 119, 52, 68, 178, 209, 138}},
		{picture.Grey, 4, 3, grey, 5, 2, "bilinear", []byte{11, 138, 147, 108, 127, 49, 91, 158, 190, 152}},
		{picture.Grey, 4, 3, grey, 5, 2, "bicubic", []byte{1, 151, 157, 97, 123, 49, 80, 166, 204, 147}},
		{picture.Grey, 4, 3, grey, 5, 2, "box", []byte{15, 173, 130, 130, 103, 60, 120, 180, 180, 240}},
		{picture.Grey, 4, 3, grey, 5, 2, "hamming", []byte{8, 184, 143, 86, 146, 52, 105, 156, 196, 175}},
		{picture.Grey, 2, 6, grey, 2, 2, "bicubic", []byte{37, 161, 144, 114}},
		{picture.Grey, 2, 6, grey, 1, 2, "bicubic", []byte{99, 129}},
		{picture.Grey, 3, 4, grey, 2, 1, "bicubic", []byte{137, 97}},
		{picture.Grey, 6, 2, grey, 2, 3, "bicubic", []byte{116, 87, 105, 128, 94, 169}},
		{picture.RGB, 2, 2, grey, 3, 1, "bicubic", []byte{123, 132, 26, 143, 118, 100, 162, 103, 174}},
		{picture.GreyAlpha, 3, 2, grey, 2, 3, "bicubic", []byte{3, 253, 6, 121, 9, 140, 102, 165, 66, 27, 156, 208}},
		{picture.RGBA, 3, 1, grey, 2, 1, "bilinear", []byte{0, 252, 14, 127, 58, 119, 181, 152}},
		{picture.CMYK, 3, 1, grey, 5, 1, "bicubic", []byte{0, 255, 0, 215, 9, 196, 97, 121, 30, 90, 250, 5, 51, 102, 215, 149, 62, 122, 175, 255}},
		{picture.Grey16, 3, 2, grey, 4, 3, "bicubic", []byte{255, 255, 188, 238, 248, 153, 173, 73, 1, 128, 180, 148, 48, 164, 176, 165, 0, 0, 171, 58, 103, 174, 255, 255}},
		{picture.Grey16, 2, 3, grey, 3, 1, "lanczos", []byte{226, 151, 124, 144, 22, 137}},
		{picture.Grey16, 1, 6, grey, 2, 3, "bicubic", []byte{137, 220, 137, 220, 34, 59, 34, 59, 116, 162, 116, 162}},
		{picture.Palette, 4, 3, grey, 3, 2, "bicubic", []byte{0, 10, 200, 60, 180, 240}},
		{picture.Bilevel, 4, 3, []byte{0, 255, 0, 255, 0, 0, 255, 0, 0, 255, 255, 255}, 6, 2, "bicubic", []byte{0, 255, 255, 0, 0, 255, 0, 255, 255, 255, 255, 255}},
	} {
		p := &picture.Picture{Mode: c.mode, Width: c.width, Height: c.height, Pix: c.pix}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		q, err := resize(p, c.toW, c.toH, rect{0, 0, c.toW, c.toH}, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(q.Pix, c.want) {
			t.Errorf("%s %s %dx%d to %dx%d:\ngot  %v\nwant %v", c.mode, c.filter, c.width, c.height, c.toW, c.toH, q.Pix, c.want)
		}
	}
}

func TestPadding(t *testing.T) {
	white := picture.New(picture.RGB, 4, 2)
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	corner := func(c Config, p *picture.Picture) [3]byte {
		t.Helper()
		v, err := c.View(p)
		if err != nil {
			t.Fatal(err)
		}
		if v.Width != c.Size[1] || v.Height != c.Size[0] {
			t.Fatalf("view is %dx%d", v.Width, v.Height)
		}
		if got := [3]byte(v.Pix[3*(v.Height/2*v.Width+v.Width/2):]); got != [3]byte{255, 255, 255} {
			t.Errorf("the middle is %v, not white", got)
		}
		return [3]byte(v.Pix)
	}
	c := vitConfig()
	c.CropMode, c.CropPct, c.Mean = "border", 1, [3]float32{0.485, 0.456, 0.406}
	if got := corner(c, white); got != [3]byte{124, 116, 104} {
		t.Errorf("timm's border is %v, not the mean colour", got)
	}
	c.CropMode, c.CropPct = "center", 1.5
	if got := corner(c, white); got != [3]byte{} {
		t.Errorf("timm's padding is %v, not black", got)
	}
	c = Config{Library: OpenCLIP, Size: [2]int{32, 32}, ResizeMode: "longest", FillColor: 77, Std: [3]float32{1, 1, 1}}
	if got := corner(c, white); got != [3]byte{77, 77, 77} {
		t.Errorf("open_clip's padding is %v, not fill_color", got)
	}
	// The border is filled before the conversion to RGB: no ink is white, entry 0 of a palette is that entry.
	c.FillColor = 0
	if got := corner(c, picture.New(picture.CMYK, 4, 2)); got != [3]byte{255, 255, 255} {
		t.Errorf("open_clip pads a CMYK picture with %v, not with no ink", got)
	}
	paletted := picture.New(picture.Palette, 4, 2)
	paletted.Palette = []byte{1, 2, 3, 255, 255, 255}
	for i := range paletted.Pix {
		paletted.Pix[i] = 1
	}
	if got := corner(c, paletted); got != [3]byte{1, 2, 3} {
		t.Errorf("open_clip pads a palette picture with %v, not with entry 0", got)
	}
}

func TestApply(t *testing.T) {
	c := vitConfig()
	c.Size, c.CropPct, c.Mean, c.Std = [2]int{2, 3}, 1, [3]float32{0, 0.5, 1}, [3]float32{1, 0.5, 0.25}
	p := picture.New(picture.RGB, 3, 2)
	for i := range p.Pix {
		p.Pix[i] = byte(10 * i)
	}
	before := bytes.Clone(p.Pix)
	// Size 2x3 keeps the ratio by the shorter side, so the picture is only normalised.
	got, err := c.Apply(p)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Pix, before) {
		t.Error("Apply changed the picture")
	}
	for channel := range 3 {
		for i := range 6 {
			want := (float32(10*(3*i+channel))/255 - c.Mean[channel]) / c.Std[channel]
			if got[channel*6+i] != want {
				t.Errorf("channel %d, pixel %d: %v, want %v", channel, i, got[channel*6+i], want)
			}
		}
	}
	back, err := c.Unnormalise(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Pix, p.Pix) {
		t.Errorf("unnormalised: %v, want %v", back.Pix, p.Pix)
	}
	if _, err := c.Unnormalise(got[1:]); err == nil {
		t.Error("Unnormalise takes a slice of the wrong length")
	}
	for _, bad := range []*picture.Picture{nil, {Mode: picture.RGB, Width: 2, Height: 2}} {
		if _, err := c.Apply(bad); err == nil {
			t.Errorf("Apply takes %+v", bad)
		}
	}
}

// source is n one-pixel pictures; picture i is grey i. Picture i fails where bad says so.
type source struct {
	n      int
	bad    map[int]bool
	calls  atomic.Int64
	before func(i int)
}

func (s *source) Len() int { return s.n }

func (s *source) Picture(i int) (*picture.Picture, error) {
	s.calls.Add(1)
	if s.before != nil {
		s.before(i)
	}
	if s.bad[i] {
		return nil, fmt.Errorf("photo%d.jpg: damaged", i)
	}
	p := picture.New(picture.Grey, 1, 1)
	p.Pix[0] = byte(i)
	return p, nil
}

func pixelConfig() Config {
	return Config{Library: Timm, Size: [2]int{1, 1}, CropPct: 1, Std: [3]float32{1, 1, 1}}
}

// collect runs Load to its end and returns the indices it saw, checking each batch on the way.
func collect(t *testing.T, ctx context.Context, s *source, opts LoadOptions) (seen []int, skipped []error, err error) {
	t.Helper()
	next := opts.From
	for b, batchErr := range Load(ctx, s, pixelConfig(), opts) {
		if batchErr != nil {
			return seen, skipped, batchErr
		}
		if b.First != next || b.N != len(b.Indices) || len(b.Pixels) != 3*b.N || b.N+len(b.Skipped) != b.Next-b.First {
			t.Fatalf("batch does not fit together: %+v", b)
		}
		next = b.Next
		for row, i := range b.Indices {
			if want := float32(i%256) / 255; b.Pixels[3*row] != want || b.Pixels[3*row+2] != want {
				t.Errorf("picture %d has pixels %v, want %v", i, b.Pixels[3*row:3*row+3], want)
			}
		}
		seen, skipped = append(seen, b.Indices...), append(skipped, b.Skipped...)
	}
	if next != max(s.n, opts.From) {
		t.Errorf("the last batch ends at %d", next)
	}
	return seen, skipped, nil
}

func upTo(from, to int, without ...int) (is []int) {
	for i := from; i < to; i++ {
		if !slices.Contains(without, i) {
			is = append(is, i)
		}
	}
	return is
}

func TestLoadOrder(t *testing.T) {
	for _, opts := range []LoadOptions{{}, {Batch: 1}, {Batch: 7, Workers: 5}, {Batch: 100, Workers: 1}, {From: 33}, {From: 50}, {From: 60}} {
		// Later pictures of a batch are ready first.
		s := &source{n: 50, before: func(i int) { time.Sleep(time.Duration(7-i%7) * 50 * time.Microsecond) }}
		seen, _, err := collect(t, t.Context(), s, opts)
		if err != nil || !slices.Equal(seen, upTo(opts.From, 50)) {
			t.Errorf("%+v: saw %v, %v", opts, seen, err)
		}
	}
	if _, _, err := collect(t, t.Context(), &source{}, LoadOptions{}); err != nil {
		t.Errorf("no pictures: %v", err)
	}
}

func TestLoadBadPictures(t *testing.T) {
	bad := map[int]bool{3: true, 4: true, 5: true, 20: true}
	// By default the first bad picture ends it, after the batches before it.
	seen, _, err := collect(t, t.Context(), &source{n: 30, bad: bad}, LoadOptions{Batch: 2})
	if err == nil || err.Error() != "photo3.jpg: damaged" || !slices.Equal(seen, upTo(0, 2)) {
		t.Errorf("saw %v, %v", seen, err)
	}
	var pe *PictureError
	if !errors.As(err, &pe) || pe.Index != 3 {
		t.Errorf("error %v does not carry the index 3", err)
	}
	for _, maxBad := range []int{4, -1} {
		seen, skipped, err := collect(t, t.Context(), &source{n: 30, bad: bad}, LoadOptions{Batch: 3, MaxBad: maxBad})
		if err != nil || !slices.Equal(seen, upTo(0, 30, 3, 4, 5, 20)) {
			t.Errorf("MaxBad %d: saw %v, %v", maxBad, seen, err)
		}
		if len(skipped) != 4 || skipped[3].Error() != "photo20.jpg: damaged" {
			t.Errorf("MaxBad %d: skipped %v", maxBad, skipped)
		}
	}
	_, skipped, err := collect(t, t.Context(), &source{n: 30, bad: bad}, LoadOptions{Batch: 3, MaxBad: 3})
	if err == nil || !strings.Contains(err.Error(), "more than 3 pictures") || !strings.Contains(err.Error(), "photo20.jpg") || len(skipped) != 3 {
		t.Errorf("one too many: %v after %v", err, skipped)
	}
}

func TestLoadRefuses(t *testing.T) {
	if _, _, err := collect(t, t.Context(), &source{n: 1}, LoadOptions{From: -1}); err == nil {
		t.Error("begins at picture -1")
	}
	for _, err := range Load(t.Context(), &source{n: 1}, Config{}, LoadOptions{}) {
		if err == nil {
			t.Error("an empty Config is used")
		}
	}
	// A picture that cannot be resized is named as well as it can be.
	long := &longSource{name: "long.png"}
	for _, err := range Load(t.Context(), long, vitConfig(), LoadOptions{}) {
		if err == nil || !strings.HasPrefix(err.Error(), "long.png: ") {
			t.Errorf("error is %v", err)
		}
	}
	long.name = ""
	for _, err := range Load(t.Context(), long, vitConfig(), LoadOptions{}) {
		if err == nil || !strings.HasPrefix(err.Error(), "picture 0: ") {
			t.Errorf("error is %v", err)
		}
	}
}

type longSource struct{ name string }

func (*longSource) Len() int { return 1 }

func (s *longSource) Picture(int) (*picture.Picture, error) {
	p := picture.New(picture.Grey, 1, 1<<20)
	p.Name = s.name
	return p, nil
}

// Whoever stops early, the caller or the context, finds nothing running and little done beyond what was asked for.
func TestLoadStops(t *testing.T) {
	before := runtime.NumGoroutine()
	s := &source{n: 1_000_000}
	for b, err := range Load(t.Context(), s, pixelConfig(), LoadOptions{Batch: 10, Workers: 4}) {
		if err != nil {
			t.Fatal(err)
		}
		if b.First == 50 {
			time.Sleep(10 * time.Millisecond) // time to run ahead
			break
		}
	}
	if n := s.calls.Load(); n > 60+3*10 {
		t.Errorf("%d pictures were decoded for 60: memory is not bounded", n)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user pressed Ctrl-C")
	s = &source{n: 1_000_000, before: func(i int) {
		if i == 45 {
			cancel(stop)
		}
	}}
	seen, _, err := collect(t, ctx, s, LoadOptions{Batch: 10})
	if !errors.Is(err, stop) {
		t.Errorf("after %d pictures, cancelled: %v", len(seen), err)
	}
	after := runtime.NumGoroutine()
	for range 1000 { // one that is done may still be counted for a moment
		if after <= before {
			break
		}
		time.Sleep(time.Millisecond)
		after = runtime.NumGoroutine()
	}
	if after > before {
		t.Errorf("%d goroutines are left, there were %d", after, before)
	}
}

func TestLoadOrients(t *testing.T) {
	for _, orient := range []bool{false, true} {
		c := pixelConfig()
		c.Size = [2]int{2, 2}
		for b, err := range Load(t.Context(), orientedSource{}, c, LoadOptions{Orient: orient}) {
			if err != nil {
				t.Fatal(err)
			}
			if upsideDown := b.Pixels[0] == 0; upsideDown == orient {
				t.Errorf("Orient %v: pixels are %v", orient, b.Pixels)
			}
		}
	}
}

type orientedSource struct{}

func (orientedSource) Len() int { return 1 }

func (orientedSource) Picture(int) (*picture.Picture, error) {
	p := picture.New(picture.Grey, 2, 2)
	p.Orientation = 3
	p.Pix[3] = 255
	return p, nil
}

// files is a source of encoded pictures on disk.
type files []string

func (f files) Len() int { return len(f) }

func (f files) Picture(i int) (*picture.Picture, error) {
	return picture.DecodeFile(f[i], picture.Limits{})
}

func writePhoto(tb testing.TB, path string, w, h int) {
	tb.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{byte(x * y >> 6), byte(x + y), byte(x ^ y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		tb.Fatal(err)
	}
}

func TestLoadFiles(t *testing.T) {
	dir := t.TempDir()
	var f files
	for i := range 5 {
		f = append(f, filepath.Join(dir, fmt.Sprintf("%d.jpg", i)))
		writePhoto(t, f[i], 60+i, 50)
	}
	if err := os.Truncate(f[3], 700); err != nil {
		t.Fatal(err)
	}
	n := 0
	for b, err := range Load(t.Context(), f, vitConfig(), LoadOptions{Batch: 2, MaxBad: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		n += b.N
		for _, err := range b.Skipped {
			if !strings.HasPrefix(err.Error(), f[3]+": ") {
				t.Errorf("error does not name the file: %v", err)
			}
		}
		if first := b.Indices[0]; b.N > 0 {
			p, err := f.Picture(first)
			if err != nil {
				t.Fatal(err)
			}
			want, err := vitConfig().Apply(p)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(b.Pixels[:len(want)], want) {
				t.Errorf("picture %d is not what Apply gives", first)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d pictures were loaded, not 4", n)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, size := range [][2]int{{500, 375}, {4000, 3000}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			p, c := noise(picture.RGB, size[0], size[1], 1), vitConfig()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Apply(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoad decodes and prepares photos of ImageNet's usual size; an operation is one photo.
func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "photo.jpg")
	writePhoto(b, path, 500, 375)
	f := slices.Repeat(files{path}, b.N)
	b.ResetTimer()
	for _, err := range Load(b.Context(), f, vitConfig(), LoadOptions{}) {
		if err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleConfig_Apply() {
	c := Config{
		Library: Timm, Size: [2]int{224, 224}, Interpolation: "bicubic", CropPct: 0.9,
		Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5},
	}
	drawn := image.NewGray(image.Rect(0, 0, 500, 375)) // all black
	pixels, err := c.Apply(picture.FromImage(drawn))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(pixels) == 3*224*224, pixels[0])
	// Output: true -1
}

func ExampleLoad() {
	pictures := drawnPictures{40, 80, 120}
	c := Config{Library: OpenCLIP, Size: [2]int{8, 8}, Std: [3]float32{1, 1, 1}}
	for batch, err := range Load(context.Background(), pictures, c, LoadOptions{Batch: 2}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(batch.Indices, batch.N, len(batch.Pixels))
	}
	// Output:
	// [0 1] 2 384
	// [2] 1 192
}

// drawnPictures is a source of squares with the given sides.
type drawnPictures []int

func (d drawnPictures) Len() int { return len(d) }

func (d drawnPictures) Picture(i int) (*picture.Picture, error) {
	return picture.New(picture.RGB, d[i], d[i]), nil
}
