package zoo

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
)

// compiled returns what computes what build makes of a vector of weights and pixels.
func compiled(t *testing.T, b compute.Backend, l layout, build func(w gomlxvit.WeightMap, x *graph.Node) *graph.Node) func(weights []float32, pixels []uint8) []float32 {
	t.Helper()
	program, err := gomlxvit.NewProgram(b, "test", func(in []*graph.Node) []*graph.Node {
		_, w := l.nodes(in[0])
		return []*graph.Node{build(w, normalise(in[1]))}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(program.Close)
	return func(weights []float32, pixels []uint8) []float32 {
		n := len(pixels) / pictureBytes
		outputs, err := program.Run(tensors.FromFlatDataAndDimensions(weights, len(weights)),
			tensors.FromFlatDataAndDimensions(pixels, n, scenes.Size, scenes.Size, 3))
		if err != nil {
			t.Fatal(err)
		}
		values, err := tensors.CopyFlatData[float32](outputs[0])
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
}

// representation computes a recipe's representation of pictures, without compiling.
func representation(t *testing.T, r Recipe, l layout, weights []float32, pixels []uint8) []float32 {
	t.Helper()
	return compiled(t, onGo(t), l, func(w gomlxvit.WeightMap, x *graph.Node) *graph.Node { return r.Arch.Representation(w, x) })(weights, pixels)
}

func somePixels(n int) []uint8 {
	var pixels []uint8
	for i := range n {
		pixels = append(pixels, scenes.Draw(5, uint64(i)).Pix...)
	}
	return pixels
}

// firstWeights are those a recipe's training begins with.
func firstWeights(t *testing.T, r Recipe) []float32 {
	t.Helper()
	st, err := r.initialState(r.layout())
	if err != nil {
		t.Fatal(err)
	}
	weights, err := tensors.CopyFlatData[float32](st.named("weights"))
	if err != nil {
		t.Fatal(err)
	}
	return weights
}

// difference is the largest one between a and b, relative to the largest of b.
func difference(a, b []float32) float64 {
	most, largest := 0.0, 0.0
	for i := range b {
		most = max(most, math.Abs(float64(a[i]-b[i])))
		largest = max(largest, math.Abs(float64(b[i])))
	}
	return most / largest
}

// TestStartFrom: a CLIP that starts from deit-mini maps pictures to deit-mini's
// representation times the projection, however many blocks it has more.
func TestStartFrom(t *testing.T) {
	ckpt, err := Open("deit-mini")
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	deit := deitMini()
	dl := deit.stored()
	var trained []float32
	for _, p := range dl.params {
		values, err := ckpt.Weights.Float32(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		trained = append(trained, values...)
	}
	pixels := somePixels(3)
	z := representation(t, deit, dl, trained, pixels)

	for _, r := range []Recipe{clipMini(), clipRefMini()} {
		l, weights := r.layout(), firstWeights(t, r)
		got := representation(t, r, l, weights, pixels)
		var projection []float32
		for i, p := range l.params {
			if p.Name == "visual.proj" {
				projection = l.part(weights, i)
			}
		}
		want := make([]float32, 3*clipEmbedding)
		for i := range 3 {
			for k := range clipEmbedding {
				for d := range 96 {
					want[i*clipEmbedding+k] += z[i*96+d] * projection[d*clipEmbedding+k]
				}
			}
		}
		if d := difference(got, want); d > 5e-4 { // the epsilons of their norms differ
			t.Errorf("%s starts %.1e away from deit-mini", r.Name, d)
		}
	}
	for from, want := range map[string]string{"clip-mini": "not a vision transformer", "swin-mini": "not a vision transformer", "dino-mini": ""} {
		r := clipMini()
		r.From = from
		_, err := r.initialState(r.layout())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("a CLIP that starts from %s: error %v, want %q", from, err, want)
		}
	}
	other := deitMini()
	other.From = "swin-mini"
	if _, err := other.initialState(other.layout()); err == nil || !strings.Contains(err.Error(), "swin-mini") {
		t.Errorf("a DeiT that starts from a Swin: error %v", err)
	}
}

// TestStartWithLayerScale: a DINOv2 that starts from dino-mini computes what that
// does.
func TestStartWithLayerScale(t *testing.T) {
	dino, dinov2 := dinoMini(), dinov2Mini()
	from := dino
	from.From = "dino-mini"
	pixels := somePixels(2)
	var z [2][]float32
	for i, r := range []Recipe{from, dinov2} {
		l, weights := r.layout(), firstWeights(t, r)
		z[i] = representation(t, r, l, weights, pixels)
	}
	if d := difference(z[1], z[0]); d > 1e-5 {
		t.Errorf("dinov2-mini starts %.1e away from dino-mini", d)
	}
}

// TestSettle: with settled statistics a model computes for pictures that it has
// not seen about what it does with those of a large batch.
func TestSettle(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for long; not with -short")
	}
	r := tinyOf(t)["batch norms"]
	l := r.layout()
	weights := l.initial(3)
	pixels := somePixels(200)
	training := compiled(t, openBackend(t), l, func(w gomlxvit.WeightMap, x *graph.Node) *graph.Node {
		return r.Arch.Representation(batchWeights{WeightMap: w}, x)
	})
	finished := compiled(t, openBackend(t), l, func(w gomlxvit.WeightMap, x *graph.Node) *graph.Node { return r.Arch.Representation(w, x) })
	want := training(weights, pixels)
	if d := difference(finished(weights, pixels), want); d < 0.2 {
		t.Errorf("the statistics hardly matter: without them %.2f", d)
	}
	if err := r.settle(context.Background(), openBackend(t), l, weights); err != nil {
		t.Fatal(err)
	}
	if d := difference(finished(weights, pixels), want); d > 0.1 {
		t.Errorf("settled statistics give a representation that is %.2f away from the batch's", d)
	}

	plain := tiny()
	before := plain.layout()
	vector := before.initial(1)
	if err := plain.settle(context.Background(), nil, before, vector); err != nil {
		t.Errorf("a model without batch norms: %v", err)
	}
}

func TestFade(t *testing.T) {
	whole := scenes.Draw(2, 8)
	for _, test := range []struct {
		name        string
		place, coat float64
		outside     func(before uint8) uint8
		inside      func(before uint8) uint8
	}{
		{"all", 1, 1, func(b uint8) uint8 { return b }, func(b uint8) uint8 { return b }},
		{"no place", 0, 1, func(uint8) uint8 { return ground }, func(b uint8) uint8 { return b }},
		{"silhouette", -1, 0, func(uint8) uint8 { return ground }, func(uint8) uint8 { return figure }},
	} {
		faded := scenes.Draw(2, 8)
		fade(faded, test.place, test.coat)
		seen := map[uint8]bool{}
		for i, covered := range whole.Mask {
			seen[covered] = true
			want := test.outside
			if covered == 255 {
				want = test.inside
			} else if covered > 0 {
				continue
			}
			for c := range 3 {
				if got, want := faded.Pix[3*i+c], want(whole.Pix[3*i+c]); got != want {
					t.Fatalf("%s: pixel %d, covered %d, is %d, want %d", test.name, i, covered, got, want)
				}
			}
		}
		if !seen[0] || !seen[255] {
			t.Fatal("the scene has no inside or no outside")
		}
	}
	half := scenes.Draw(2, 8)
	fade(half, 0.5, 1)
	if got, want := int(half.Pix[0]), (int(whole.Pix[0])+ground)/2; got < want-2 || got > want+2 || whole.Mask[0] != 0 {
		t.Errorf("half of a place: %d, want about %d", got, want)
	}
}

// TestSee: a recipe for a part of scenes draws that part.
func TestSee(t *testing.T) {
	for _, part := range []scenes.Part{scenes.BackgroundOnly, scenes.SilhouetteOnly} {
		r := tiny()
		r.FadeIn = 0.5
		if err := r.see(part); err != nil {
			t.Fatal(err)
		}
		got, err := tensors.CopyFlatData[uint8](r.task.draw(&r, 0)[0])
		if err != nil {
			t.Fatal(err)
		}
		want := scenes.DrawPart(part, scenes.TrainSeeds+r.Seed, 0)
		if !slices.Equal(got[:len(want.Pix)], want.Pix) {
			t.Errorf("the first scene is not its %s", part)
		}
	}
	r := clipMini()
	if err := r.see(scenes.BackgroundOnly); err == nil || !strings.Contains(err.Error(), "clip-mini") {
		t.Errorf("a CLIP that sees backgrounds: error %v", err)
	}
}

// TestViews: what the views of self-distillation share and what not.
func TestViews(t *testing.T) {
	r := tinyOf(t)["self-distilled"]
	r.FadeIn = 0
	inputs := r.task.draw(&r, 4)
	global, err := tensors.CopyFlatData[uint8](inputs[0])
	if err != nil {
		t.Fatal(err)
	}
	local, err := tensors.CopyFlatData[uint8](inputs[1])
	if err != nil {
		t.Fatal(err)
	}
	mask, err := tensors.CopyFlatData[uint8](inputs[3])
	if err != nil {
		t.Fatal(err)
	}
	const localBytes = localSide * localSide * 3
	for i := range 2 * r.Batch {
		picture, view := global[i*pictureBytes:][:pictureBytes], local[i*localBytes:][:localBytes]
		row := view[:localSide*3]
		if !bytes.Contains(picture, row) {
			t.Errorf("local view %d is not cut out of global view %d", i, i)
		}
		if i < r.Batch && slices.Equal(picture, global[(i+r.Batch)*pictureBytes:][:pictureBytes]) {
			t.Errorf("both views of individual %d are the same picture", i)
		}
	}
	hidden := 0
	for _, m := range mask {
		hidden += int(m)
	}
	if share := float64(hidden) / float64(len(mask)); share < 0.2 || share > 0.4 {
		t.Errorf("%.2f of the patches are hidden, want about 0.3", share)
	}
}

// TestTeacher: after a step the teacher has moved by the momentum's share towards
// the student, and the probe's label has not reached the transformer.
func TestTeacher(t *testing.T) {
	r := tinyOf(t)["self-distilled"]
	s, st := begin(t, onGo(t), r)
	read := func(name string) []float32 {
		values, err := tensors.CopyFlatData[float32](st.named(name))
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	before := read("teacher")
	if _, err := s.step(st, rates{1e-2, 1, 0}, r.task.draw(&r, 0)); err != nil {
		t.Fatal(err)
	}
	student, teacher := read("weights"), read("teacher")
	want := make([]float32, len(before))
	moved := 0.0
	for i := range want {
		want[i] = before[i] + (1-momentum)*(student[i]-before[i])
		moved = max(moved, math.Abs(float64(student[i]-before[i])))
	}
	if d := difference(teacher, want); d > 1e-6 || moved < 1e-3 {
		t.Errorf("the teacher is %.1e away from the moving average (the student moved by %.1e)", d, moved)
	}

	// Other labels: the same transformer.
	other, again := begin(t, onGo(t), r)
	inputs := r.task.draw(&r, 0)
	inputs[2] = tensors.FromFlatDataAndDimensions(make([]int32, r.Batch), r.Batch)
	if _, err := other.step(again, rates{1e-2, 1, 0}, inputs); err != nil {
		t.Fatal(err)
	}
	values, err := tensors.CopyFlatData[float32](again.named("first_moment"))
	if err != nil {
		t.Fatal(err)
	}
	mine := read("first_moment")
	l := r.layout()
	ratio := float64(l.part(values, 0)[0]) / float64(l.part(mine, 0)[0]) // the norm's clipping scales all alike
	for i, p := range l.params {
		if strings.HasPrefix(p.Name, "probe.") {
			continue
		}
		for k, v := range l.part(mine, i) {
			if got := float64(l.part(values, i)[k]); math.Abs(got-ratio*float64(v)) > 1e-4*math.Abs(ratio*float64(v))+1e-6 {
				t.Fatalf("%s[%d]: the gradient depends on the labels: %v, %v", p.Name, k, got, ratio*float64(v))
			}
		}
	}
}

func TestVocabulary(t *testing.T) {
	r := clipMini()
	words := r.task.(contrastive).tokenizer
	for i := range uint64(500) {
		text := scenes.Caption(9, i)
		if ids := words.Encode(text); len(ids) > len(strings.Fields(text)) {
			t.Errorf("%q has more tokens than words: %d", text, len(ids))
		}
		if _, cut := words.Tokens(text, 32); cut {
			t.Errorf("%q is too long", text)
		}
	}
}

// What read-outs of zeros say is even: the loss is the logarithm of the number of words, mean over the traits, of scenes
// that have the trait; and a trait that is not learnt yet costs nothing.
func TestTraits(t *testing.T) {
	sign := scenes.Spec{Class: slices.Index(scenes.Classes, "sign"), Colour: "red", Pattern: "striped", Place: "lake", Shape: "octagonal"}
	cat := scenes.Spec{Class: slices.Index(scenes.Classes, "cat"), Colour: "white", Pattern: "plain", Place: "ocean"}
	read := traitReadouts{weight: 2}
	labels := make([]int32, 3*len(traits))
	read.label(labels, sign, true)
	read.label(labels[4:], cat, true)
	read.label(labels[8:], sign, false)
	if want := []int32{2, 1, 1, 3, 5, 0, 0, -1, -1, -1, -1, -1}; !slices.Equal(labels, want) {
		t.Fatalf("labels %v, want %v", labels, want)
	}
	params := read.params(5)
	if len(params) != 2 || params[0].Dims[0] != 6+5+10+4 || (traitReadouts{}).params(5) != nil {
		t.Fatalf("tensors %v", params)
	}
	even := math.Log(6) + math.Log(5) + math.Log(10)
	for name, test := range map[string]struct {
		labels []int32
		want   float64
	}{
		"a sign and a cat": {labels[:8], even + math.Log(4)},
		"cats":             {append(slices.Clone(labels[4:8]), labels[4:8]...), even},
		"not learnt yet":   {append(slices.Clone(labels[8:]), labels[8:]...), 0},
	} {
		program, err := gomlxvit.NewProgram(onGo(t), "traits", func(in []*graph.Node) []*graph.Node {
			w := gomlxvit.WeightMap{"traits.weight": in[0], "traits.bias": in[1]}
			return []*graph.Node{read.loss(w, in[2], in[3])}
		})
		if err != nil {
			t.Fatal(err)
		}
		outputs, err := program.Run(
			tensors.FromFlatDataAndDimensions(make([]float32, 25*5), 25, 5), tensors.FromFlatDataAndDimensions(make([]float32, 25), 25),
			tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 4, 5, 5, 4, 3, 2, 1}, 2, 5), tensors.FromFlatDataAndDimensions(test.labels, 2, 4),
		)
		program.Close()
		if err != nil {
			t.Fatal(err)
		}
		loss, err := tensors.CopyFlatData[float32](outputs[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * test.want / 4; math.Abs(float64(loss[0])-want) > 1e-5 {
			t.Errorf("%s: loss %v, want %v", name, loss[0], want)
		}
	}
}
