package preprocess

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitdecompose/data/picture"
	"vitdecompose/gomlxvit/golden"
	"vitdecompose/gomlxvit/safetensors"
)

// reference is preprocess.json: which tensors of io.safetensors are which pictures through which transforms, as Pillow 13.0.0
// computed them. What timm 1.0.31 and open_clip 3.3.0 with torchvision 0.29.2 make of other pictures is the same, bit for bit.
type reference struct {
	Transforms map[string]struct {
		Library       string
		Size          int
		CropPct       float64 `json:"crop_pct"`
		ResizeMode    string  `json:"resize_mode"`
		Interpolation string
		Mean, Std     [3]float32
	}
	Tensors []struct {
		Tensor, File, Transform string
		SourceMode              string `json:"source_mode"`
		ConvertedBefore         string `json:"converted_to_rgb_before"`
	}
}

// readReference opens the reference data and the pictures that belong to it.
func readReference(t *testing.T) (dir string, g reference, f *safetensors.File) {
	dir = golden.Dir(t, "preprocess")
	text, err := os.ReadFile(filepath.Join(dir, "preprocess.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	f, err = safetensors.Open(filepath.Join(dir, "io.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return dir, g, f
}

// TestGoldenTransforms compares with the reference in steps of 8 bits. PNG pictures must agree exactly, which is more than
// the two steps (half a step on average) asked for; JPEG pictures within four (one on average), because two correct inverse
// DCTs may differ by a step.
func TestGoldenTransforms(t *testing.T) {
	dir, g, f := readReference(t)
	if len(g.Tensors) == 0 {
		t.Fatal("preprocess.json lists no tensors")
	}
	for _, e := range g.Tensors {
		t.Run(e.Tensor, func(t *testing.T) {
			tr := g.Transforms[e.Transform]
			c := Config{
				Library: strings.Fields(tr.Library)[0], Size: [2]int{tr.Size, tr.Size}, Interpolation: tr.Interpolation,
				CropPct: tr.CropPct, ResizeMode: tr.ResizeMode, Mean: tr.Mean, Std: tr.Std,
			}
			p, err := picture.DecodeFile(filepath.Join(dir, e.File), picture.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if p.Mode.String() != e.SourceMode {
				t.Errorf("decoded as %s, Pillow says %s", p.Mode, e.SourceMode)
			}
			// The reference gave both libraries RGB pictures, but for the tensors that say otherwise.
			if !strings.HasPrefix(e.ConvertedBefore, "no") {
				p = p.RGB()
			}
			got, err := c.Apply(p)
			if err != nil {
				t.Fatal(err)
			}
			want, err := f.Float32(e.Tensor)
			if err != nil {
				t.Fatal(err)
			}
			worst, mean := steps(t, c, got, want)
			t.Logf("worst %.2f, mean %.4f steps", worst, mean)
			if filepath.Ext(e.File) == ".jpg" {
				if worst > 4 || mean > 1 {
					t.Errorf("off by %.2f steps, %.4f on average", worst, mean)
				}
			} else if worst > 1e-3 {
				t.Errorf("off by %.2f steps, %.4f on average; a PNG picture must agree exactly", worst, mean)
			}
		})
	}
}

// steps returns the largest and the mean difference of two normalised pictures in 8-bit steps.
func steps(t *testing.T, c Config, got, want []float32) (worst, mean float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, the reference has %d", len(got), len(want))
	}
	n := len(got) / 3
	for i := range got {
		d := 255 * float64(c.Std[i/n]) * math.Abs(float64(got[i])-float64(want[i]))
		worst = max(worst, d)
		mean += d / float64(len(got))
	}
	return worst, mean
}

// TestGoldenDecoded compares decoded pictures, converted to RGB, with Pillow's bytes.
func TestGoldenDecoded(t *testing.T) {
	dir, _, f := readReference(t)
	found := 0
	for _, name := range f.Names() {
		file, ok := strings.CutSuffix(name, "/decoded_rgb_u8_hwc")
		if !ok {
			continue
		}
		found++
		p, err := picture.DecodeFile(filepath.Join(dir, file), picture.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.Int64(name)
		if err != nil {
			t.Fatal(err)
		}
		got := p.RGB().Pix
		if len(got) != len(want) {
			t.Fatalf("%s: %d bytes, the reference has %d", file, len(got), len(want))
		}
		var worst, sum int64
		for i := range got {
			d := int64(got[i]) - want[i]
			worst, sum = max(worst, d, -d), sum+max(d, -d)
		}
		mean := float64(sum) / float64(len(got))
		t.Logf("%s: worst %d, mean %.4f", file, worst, mean)
		if filepath.Ext(file) == ".jpg" {
			// One step of the inverse DCT, enlarged by the colour conversion.
			if worst > 3 || mean > 0.25 {
				t.Errorf("%s: off by %d, %.4f on average", file, worst, mean)
			}
		} else if worst != 0 {
			t.Errorf("%s: off by %d", file, worst)
		}
	}
	if found == 0 {
		t.Error("the reference has no decoded pictures")
	}
}

// TestGoldenResize compares a whole resized picture with Pillow's.
func TestGoldenResize(t *testing.T) {
	dir, _, f := readReference(t)
	p, err := picture.DecodeFile(filepath.Join(dir, "landscape.png"), picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := f.Int64("debug/resized_shortest_u8_hwc")
	if err != nil {
		t.Fatal(err)
	}
	got, err := resize(p, 87, 64, rect{0, 0, 87, 64}, "bicubic")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Pix) != len(want) {
		t.Fatalf("%d bytes, Pillow has %d", len(got.Pix), len(want))
	}
	for i := range want {
		if int64(got.Pix[i]) != want[i] {
			t.Fatalf("byte %d is %d, Pillow's is %d", i, got.Pix[i], want[i])
		}
	}
}
