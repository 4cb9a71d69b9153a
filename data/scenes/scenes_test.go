package scenes

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"vitdecompose/data"
)

var regen = flag.Bool("regen", false, "write the golden hashes anew")

const golden = "testdata/golden.txt"

// TestGolden guards the bytes of scenes: models are trained on them. A change
// needs another Version.
func TestGolden(t *testing.T) {
	var lines []string
	for _, seed := range []uint64{0, 1, TrainSeeds} {
		for index := range uint64(40) {
			s := Draw(seed, index)
			h := sha256.New()
			h.Write(s.Pix)
			h.Write(s.Mask)
			lines = append(lines, fmt.Sprintf("v%d %d %d %s %s", Version, seed, index, hex.EncodeToString(h.Sum(nil))[:16], s.Caption))
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	if *regen {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v (run with -regen to write it)", err)
	}
	wantLines := strings.Split(strings.TrimSpace(string(want)), "\n")
	if len(wantLines) != len(lines) {
		t.Fatalf("%d golden scenes, %d drawn", len(wantLines), len(lines))
	}
	for i, line := range lines {
		if line != wantLines[i] {
			t.Errorf("scene differs from the golden one:\n got %s\nwant %s", line, wantLines[i])
		}
	}
}

// TestSameFromAnyGoroutine draws concurrently what was drawn in order.
func TestSameFromAnyGoroutine(t *testing.T) {
	const n = 24
	var want, got [n]string
	for i := range n {
		want[i] = string(Draw(3, uint64(i)).Pix)
	}
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { got[i] = string(Draw(3, uint64(i)).Pix) })
	}
	wait.Wait()
	if want != got {
		t.Error("scenes drawn concurrently differ from those drawn in order")
	}
}

// TestIndependence checks that no attribute tells another one: the counts of
// every pair of values are what independence expects, within five standard
// deviations.
func TestIndependence(t *testing.T) {
	const n = 30000
	attributes := map[string]func(Spec) string{
		"class":   func(s Spec) string { return Classes[s.Class] },
		"colour":  func(s Spec) string { return s.Colour },
		"pattern": func(s Spec) string { return s.Pattern },
		"place":   func(s Spec) string { return s.Place },
		"mirror":  func(s Spec) string { return fmt.Sprint(s.Mirror) },
		"size":    func(s Spec) string { return fmt.Sprint(s.Scale > 25*unit) },
	}
	sizes := map[string]int{"class": 12, "colour": 6, "pattern": 5, "place": 10, "mirror": 2, "size": 2}
	pairs := map[string]int{}
	for i := range uint64(n) {
		s := Sample(11, i)
		if !s.Valid() {
			t.Fatalf("scene %d has an invalid spec: %+v", i, s)
		}
		for a, fa := range attributes {
			for b, fb := range attributes {
				if a < b {
					pairs[a+"/"+b+"/"+fa(s)+"/"+fb(s)]++
				}
			}
		}
	}
	want := 0
	for a := range sizes {
		for b := range sizes {
			if a < b {
				want += sizes[a] * sizes[b]
			}
		}
	}
	if len(pairs) != want {
		t.Errorf("%d pairs of values occur, not %d", len(pairs), want)
	}
	for pair, count := range pairs {
		part := strings.Split(pair, "/")
		expected := float64(n) / float64(sizes[part[0]]*sizes[part[1]])
		if math.Abs(float64(count)-expected) > 5*math.Sqrt(expected)+0.02*expected {
			t.Errorf("%s occurs %d times, expected about %.0f", pair, count, expected)
		}
	}
}

// TestMask checks that the mask is where the object changed the background,
// and that objects are neither tiny nor fill the picture.
func TestMask(t *testing.T) {
	covered := 0.0
	const n = 300
	for i := range uint64(n) {
		with, without := Draw(5, i), DrawBackground(5, i)
		inside := 0
		for p, a := range with.Mask {
			if a == 0 && string(with.Pix[3*p:3*p+3]) != string(without.Pix[3*p:3*p+3]) {
				t.Fatalf("scene %d: pixel %d is outside the mask but not background", i, p)
			}
			inside += int(a)
		}
		part := float64(inside) / 255 / Size / Size
		if part < 0.04 || part > 0.6 {
			t.Errorf("scene %d (%s): the object covers %.0f %% of the picture", i, with.Caption, 100*part)
		}
		covered += part
	}
	if mean := covered / n; mean < 0.1 || mean > 0.35 {
		t.Errorf("objects cover %.0f %% on average", 100*mean)
	}
}

// TestLinearModelFails trains a linear softmax classifier on the pixels: what a
// linear model could tell would need no transformer.
func TestLinearModelFails(t *testing.T) {
	silhouette := linearAccuracy(2000, func(i uint64) []uint8 { return DrawPart(SilhouetteOnly, TrainSeeds+100, i).Pix })
	t.Logf("on silhouettes alone %.1f %%", 100*silhouette)
	whole := linearAccuracy(4000, func(i uint64) []uint8 { return Draw(TrainSeeds+100, i).Pix })
	background := linearAccuracy(1500, func(i uint64) []uint8 { return DrawBackground(TrainSeeds+100, i).Pix })
	t.Logf("linear classifier on pixels: %.1f %% of held-out scenes right; on backgrounds alone %.1f %%", 100*whole, 100*background)
	if whole >= 0.40 {
		t.Errorf("a linear classifier on pixels reaches %.1f %%, want below 40 %%", 100*whole)
	}
	if background >= 0.20 {
		t.Errorf("a linear classifier on backgrounds reaches %.1f %%, chance is 8.3 %%", 100*background)
	}
}

// linearAccuracy trains with SGD on so many scenes, halved in width and height,
// and tests on 1000 others.
func linearAccuracy(train int, pixels func(i uint64) []uint8) float64 {
	const test, side = 1000, Size / 2
	const features = side*side*3 + 4 // and a bias, in fours
	x := make([][]float32, train+test)
	y := make([]int, train+test)
	var wait sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(x); i += workers {
				pix := pixels(uint64(i))
				row := make([]float32, features)
				row[features-4] = 1
				for v := range side {
					for u := range side {
						for c := range 3 {
							at := 3*(2*v*Size+2*u) + c
							sum := int(pix[at]) + int(pix[at+3]) + int(pix[at+3*Size]) + int(pix[at+3*Size+3])
							row[3*(v*side+u)+c] = float32(sum)/1020 - 0.5
						}
					}
				}
				x[i], y[i] = row, Sample(TrainSeeds+100, uint64(i)).Class
			}
		})
	}
	wait.Wait()
	weights := make([][]float32, len(Classes))
	for c := range weights {
		weights[c] = make([]float32, features)
	}
	scores := func(row []float32) (p [12]float64) {
		for c, w := range weights {
			var sum [4]float32 // four chains of additions are faster than one
			for i := 0; i < features; i += 4 {
				v, u := row[i:i+4:i+4], w[i:i+4:i+4]
				sum[0] += v[0] * u[0]
				sum[1] += v[1] * u[1]
				sum[2] += v[2] * u[2]
				sum[3] += v[3] * u[3]
			}
			p[c] = float64(sum[0] + sum[1] + sum[2] + sum[3])
		}
		return p
	}
	order := rand.New(rand.NewPCG(1, 2))
	const epochs = 4
	for epoch := range epochs {
		rate := float32(0.004) * float32(epochs-epoch) / epochs
		for _, i := range order.Perm(train) {
			p := scores(x[i])
			top, total := p[0], 0.0
			for _, v := range p {
				top = max(top, v)
			}
			for c := range p {
				p[c] = math.Exp(p[c] - top)
				total += p[c]
			}
			for c, w := range weights {
				step := float32(p[c] / total)
				if c == y[i] {
					step--
				}
				step *= rate
				w := w[:len(x[i])]
				for k, v := range x[i] {
					w[k] -= step * v
				}
			}
		}
	}
	right := 0
	for i := train; i < train+test; i++ {
		p := scores(x[i])
		best := 0
		for c := range p {
			if p[c] > p[best] {
				best = c
			}
		}
		if best == y[i] {
			right++
		}
	}
	return float64(right) / float64(test)
}

func TestCaptions(t *testing.T) {
	seen, words := map[string]bool{}, map[string]bool{}
	for i := range uint64(5000) {
		s := captioned(9, i)
		if !strings.Contains(s.Caption, Classes[s.Class]) {
			t.Fatalf("caption %q does not name the class %s", s.Caption, Classes[s.Class])
		}
		if strings.Contains(s.Caption, "  ") || strings.TrimSpace(s.Caption) != s.Caption {
			t.Errorf("caption %q has stray spaces", s.Caption)
		}
		seen[s.Caption] = true
		for _, w := range strings.Fields(s.Caption) {
			words[w] = true
		}
	}
	if len(seen) < 4500 {
		t.Errorf("only %d different captions in 5000", len(seen))
	}
	// The words of the features that scenes can draw.
	for _, list := range [][]string{Classes, Colours, Places, Shapes,
		{"plain", "striped", "spotted", "polka", "dot", "checkered", "pattern", "color", "bird", "sea", "water", "land", "trees", "leaves"}} {
		for _, w := range list {
			if !words[w] {
				t.Errorf("no caption has the word %q", w)
			}
		}
	}
}

// captioned is a scene with its caption only.
func captioned(seed, index uint64) Scene {
	s := Sample(seed, index)
	return Scene{Spec: s, Caption: Caption(seed, index)}
}

func TestKinds(t *testing.T) {
	for class, name := range Classes {
		bird := slices.Contains(birdSpecies[0], name) || slices.Contains(birdSpecies[1], name)
		if kind := Kind(class); kind == "" || (kind == "bird") != bird {
			t.Errorf("class %s is of the kind %q", name, kind)
		}
	}
}

func TestOpen(t *testing.T) {
	ds, err := data.Open("scenes:5:7", data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ds.Len() != 5 || len(ds.Classes()) != 12 {
		t.Errorf("%d scenes of %d classes, want 5 of 12", ds.Len(), len(ds.Classes()))
	}
	p, err := ds.Picture(3)
	if err != nil {
		t.Fatal(err)
	}
	want := Draw(7, 3)
	if string(p.Pix) != string(want.Pix) || ds.Item(3).Label != want.Class {
		t.Error("picture 3 of scenes:5:7 is not scene (7, 3)")
	}
	hashes := map[string]string{}
	for _, spec := range []string{"scenes:5", "scenes:5:7", "scenes:6:7", "scenes:5:7:background", "scenes:5:7:silhouette"} {
		ds, err := data.Open(spec, data.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := ds.Hash()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := hashes[h]; ok {
			t.Errorf("%s and %s have the same hash", spec, other)
		}
		hashes[h] = spec
	}
}

func TestOpenErrors(t *testing.T) {
	for spec, want := range map[string]string{
		"scenes:":             "not a number of scenes",
		"scenes:x":            "not a number of scenes",
		"scenes:0":            "not a number of scenes",
		"scenes:5:":           "not a seed",
		"scenes:5:-1":         "not a seed",
		"scenes:5:4294967296": "not a seed", // kept for training
		"scenes:5:7:mask":     "not a part of scenes",
	} {
		if _, err := data.Open(spec, data.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one about %q", spec, err, want)
		}
	}
	if _, err := data.Open("scenes:5", data.Options{Labels: "x.csv"}); err == nil {
		t.Error("labels for scenes: no error")
	}
}

// TestParts checks what a part of a scene shows: a background nothing of the
// object, a silhouette nothing of coat and place.
func TestParts(t *testing.T) {
	for i := range uint64(20) {
		whole := Draw(4, i)
		background, silhouette := New(4, 20).Of(BackgroundOnly).Scene(int(i)), New(4, 20).Of(SilhouetteOnly).Scene(int(i))
		if background.Class != whole.Class || string(background.Pix) != string(DrawBackground(4, i).Pix) {
			t.Errorf("scene %d: not its background", i)
		}
		for p, a := range whole.Mask {
			if got := silhouette.Pix[3*p : 3*p+3]; got[0] != a || got[1] != a || got[2] != a {
				t.Fatalf("scene %d, pixel %d: the silhouette has %v, the mask %d", i, p, got, a)
			}
		}
	}
}

// TestDrawAgain: another view of an individual has its form under another coat.
func TestDrawAgain(t *testing.T) {
	for i := range uint64(50) {
		first := Draw(6, i)
		// The same spec: the form, and so the mask, is the same; place and coat are not.
		same := DrawAgain(first.Spec, 6, i, 0)
		if string(same.Mask) != string(first.Mask) {
			t.Errorf("scene %d: another view with the same pose has another form", i)
		}
		if string(same.Pix) == string(first.Pix) || string(same.Pix) == string(DrawAgain(first.Spec, 6, i, 1).Pix) {
			t.Errorf("scene %d: two views are the same picture", i)
		}
		// Another colour draws other numbers for the coat, and still not for the form.
		spec := first.Spec
		spec.Colour, spec.Place, spec.Class = "black", "snow", 0
		if again := DrawAgain(spec, 6, i, 3); string(again.Mask) != string(first.Mask) || again.Class != first.Class || again.Colour != "black" {
			t.Errorf("scene %d: with another coat it has another form or class", i)
		}
	}
}

func TestInvalidSpecDrawsNothing(t *testing.T) {
	s := DrawSpec(Spec{Class: -1, Place: "moon"}, 1, 2)
	if s.Valid() || s.Caption != "" {
		t.Errorf("a spec of unknown words is valid, captioned %q", s.Caption)
	}
	for _, a := range s.Mask {
		if a != 0 {
			t.Fatal("an unknown class has a mask")
		}
	}
}

func TestRasterArea(t *testing.T) {
	// The coverage of a polygon sums to its area, wherever it lies.
	r := new(raster)
	for _, offset := range []int{0, 1, 37, 128, 255} {
		sum := 0
		square := []point{{1000 + offset, 1000 + offset}, {3560 + offset, 1000 + offset}, {3560 + offset, 3560 + offset}, {1000 + offset, 3560 + offset}}
		r.fill(square, func(_, _ int, cover []uint8) {
			for _, a := range cover {
				sum += int(a)
			}
		})
		if area := float64(sum) / 255; math.Abs(area-100) > 2.6 { // a quarter row at 10 pixels
			t.Errorf("a 10 x 10 square at offset %d covers %.2f pixels", offset, area)
		}
	}
	// Outside the canvas nothing is drawn and nothing breaks.
	r.fill([]point{{-9000, -9000}, {-8000, -9000}, {-8000, 90000}}, func(int, int, []uint8) { t.Error("drew outside the canvas") })
	rows := 0
	r.fill([]point{{-90000, -90000}, {90000, -90000}, {90000, 90000}, {-90000, 90000}}, func(_, x0 int, cover []uint8) {
		rows++
		if x0 != 0 || len(cover) != Size || cover[0] != 255 || cover[Size-1] != 255 {
			t.Error("a polygon around the canvas does not cover it")
		}
	})
	if rows != Size {
		t.Errorf("%d rows covered, not %d", rows, Size)
	}
}

func TestFrameInverse(t *testing.T) {
	for _, mirror := range []bool{false, true} {
		for _, angle := range []int{0, 100, 400, -77} {
			f := newFrame(px(30, 35), 25*unit, 90, angle, mirror)
			for _, p := range []point{own(0, 0), own(90, -40), own(-13, 77)} {
				q := f.toOwn(f.toCanvas(p))
				if abs(p.x-q.x) > 3 || abs(p.y-q.y) > 3 {
					t.Errorf("mirror %v angle %d: %v maps to %v and back to %v", mirror, angle, p, f.toCanvas(p), q)
				}
			}
		}
	}
}

func abs(v int) int { return max(v, -v) }

func ExampleDraw() {
	scene := Draw(7, 0)
	fmt.Println(scene.Caption)
	fmt.Println(Classes[scene.Class], scene.Colour, scene.Pattern, scene.Place)
	// Output:
	// a drawing of a white finch with bamboo leaves behind it
	// finch white plain bamboo
}
