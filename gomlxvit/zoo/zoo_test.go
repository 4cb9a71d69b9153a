package zoo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
)

var (
	openDefault = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("") })
	openGo      = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("go") })
)

// openBackend opens what models are trained and tested on.
func openBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openDefault()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// onGo opens the Go backend: it need not compile, which is most of what a few steps of a tiny transformer take with XLA.
// For convolutions it is too slow.
func onGo(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tiny is a recipe that compiles and runs in seconds.
func tiny() Recipe {
	r := deitMini()
	r.Name, r.Batch, r.Steps, r.WarmUp, r.LearningRate = "tiny", 16, 12, 3, 3e-3
	r.Restart = 0
	r.ModelArgs = map[string]any{"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}
	r.Arch = tinyViT(r.Architecture, len(scenes.Classes))
	r.task = supervised{arch: r.Arch, smoothing: 0.05, traits: traitReadouts{weight: 1}}
	return r
}

func tinyViT(architecture string, classes int) *gomlxvit.ViTConfig {
	return vit(architecture, func(c *gomlxvit.ViTConfig) {
		c.ImageSize, c.PatchSize, c.Width, c.Depth, c.Heads, c.MLPHidden, c.Classes = 64, 16, 32, 1, 2, 128, classes
	})
}

// tinyOf is a recipe of every kind of task, each as small as tiny.
func tinyOf(t *testing.T) map[string]Recipe {
	distilled := tiny()
	arch := tinyViT("vit_small_patch14_dinov2", 0)
	distilled.Arch, distilled.task, distilled.FadeIn = arch, distillation{arch: arch, masked: 0.3}, 0.5
	clip := clip(clipSize{width: 32, layers: 1, heads: 2, textWidth: 16, textLayers: 1, textHeads: 2})
	clip.Name, clip.Batch, clip.Steps, clip.WarmUp, clip.LearningRate, clip.From = "tiny-clip", 16, 12, 3, 3e-3, ""
	staged := tiny()
	maxvit := *maxvitMini().Arch.(*gomlxvit.MaxxViTConfig)
	maxvit.Widths, maxvit.Depths, maxvit.StemWidths = []int{16}, []int{1}, [2]int{8, 8}
	staged.Arch, staged.task = &maxvit, supervised{arch: &maxvit}
	return map[string]Recipe{"supervised": tiny(), "self-distilled": distilled, "contrastive": clip, "batch norms": staged}
}

// begin prepares a recipe's first step.
func begin(t *testing.T, b compute.Backend, r Recipe) (*stepper, *state) {
	t.Helper()
	l := r.layout()
	st, err := r.initialState(l)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStepper(b, l, r.WeightDecay, r.task, len(st.values))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, st
}

// TestStepsLowerTheLoss fits one batch, for every kind of task.
func TestStepsLowerTheLoss(t *testing.T) {
	for name, r := range tinyOf(t) {
		t.Run(name, func(t *testing.T) {
			b := onGo
			switch {
			case name == "batch norms" && testing.Short():
				t.Skip("compiles for long; not with -short")
			case name == "batch norms", name == "supervised" && !testing.Short():
				b = openBackend
			}
			s, st := begin(t, b(t), r)
			var losses []float64
			for range 20 {
				reports, err := s.step(st, rates{r.LearningRate, st.step + 1, 0}, r.task.draw(&r, 6))
				if err != nil {
					t.Fatal(err)
				}
				if reports[1] <= 0 || math.IsNaN(reports[1]) {
					t.Fatalf("the gradient's norm is %v at step %d", reports[1], st.step)
				}
				losses = append(losses, reports[0])
			}
			if first, last := losses[0], losses[len(losses)-1]; !(last < 0.8*first) {
				t.Errorf("20 steps on one batch took the loss from %.3f to %.3f", first, last)
			}
		})
	}
}

// stopper cancels once so many steps are done.
type stopper struct {
	after  int
	cancel func()
}

func (s *stopper) Start(string, int) {}
func (s *stopper) Done()             {}
func (s *stopper) Add(n int) {
	if s.after -= n; s.after <= 0 {
		s.cancel()
	}
}

// TestResume stops a training and compares its checkpoint, after going on, with
// that of one that was not stopped.
func TestResume(t *testing.T) {
	b := onGo(t)
	r := tiny()
	through, stopped := t.TempDir(), t.TempDir()
	whole, err := train(context.Background(), b, r, Options{Dir: through, HeldOut: 50})
	if err != nil {
		t.Fatal(err)
	}
	if whole.Resumed || whole.Steps != r.Steps || whole.Pictures != r.Steps*r.Batch || whole.Loss <= 0 || whole.Scenes != 50 {
		t.Errorf("result %+v", *whole)
	}
	const after = 7
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err = train(ctx, b, r, Options{Dir: stopped, HeldOut: 50, Save: 4, Progress: &stopper{after, cancel}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped after step 7 of 12") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(stopped, modelFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a stopped training left a model: %v", err)
	}
	var log strings.Builder
	resumed, err := train(context.Background(), b, r, Options{Dir: stopped, HeldOut: 50, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if !resumed.Resumed || !strings.Contains(log.String(), "going on from step 7 of 12") {
		t.Errorf("not resumed; it says %q", log.String())
	}
	for _, name := range []string{modelFile, configFile} {
		want, err := os.ReadFile(filepath.Join(through, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(stopped, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s of the resumed training differs", name)
		}
	}
	if fmt.Sprint(whole.Scores) != fmt.Sprint(resumed.Scores) || len(whole.Scores) != 1 {
		t.Errorf("held-out accuracy %v, resumed %v", whole.Scores, resumed.Scores)
	}
	for _, dir := range []string{through, stopped} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 3 {
			t.Errorf("a finished training leaves %d files, not configuration, weights and card", len(entries))
		}
	}
}

func TestStateErrors(t *testing.T) {
	r := tiny()
	l := r.layout()
	dir := t.TempDir()
	path := filepath.Join(dir, stateFile)
	st, _, err := r.loadState(path, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.saveState(path, st, 0); err != nil {
		t.Fatal(err)
	}
	other := r
	other.Seed++
	if _, _, err := other.loadState(path, l); err == nil || !strings.Contains(err.Error(), "another training") || !strings.Contains(err.Error(), path) {
		t.Errorf("state of another recipe: error %v", err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content[:len(content)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.loadState(path, l); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("cut state: error %v", err)
	}
	if _, err := train(context.Background(), nil, r, Options{}); err == nil {
		t.Error("no directory: no error")
	}
	if _, err := Train(context.Background(), nil, "deit-huge", Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "deit-mini") {
		t.Errorf("unknown recipe: error %v", err)
	}
}

func TestLearningRate(t *testing.T) {
	r := Recipe{Steps: 110, WarmUp: 10, LearningRate: 2}
	for step, want := range map[int]float64{0: 0.2, 9: 2, 10: 2, 60: 1, 110: 0} {
		if got := r.learningRate(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("learning rate %v at step %d, want %v", got, step, want)
		}
	}
}

func TestRestart(t *testing.T) {
	r := Recipe{Steps: 310, WarmUp: 10, LearningRate: 2, Restart: 110, FadeIn: 0.5}
	for step, want := range map[int][3]float64{ // learning rate, done, visible
		9: {2, 9. / 110, 18. / 110}, 60: {1, 60. / 110, 120. / 110}, 110: {1, 0, 1}, 210: {0.5, 0.5, 1}, 310: {0, 1, 1},
	} {
		got := [3]float64{r.learningRate(step), r.done(step), r.visible(step)}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-12 {
				t.Errorf("step %d: learning rate, done and visible are %v, want %v", step, got, want)
			}
		}
	}
}

// TestLayout: what decays, and that every tensor has its place.
func TestLayout(t *testing.T) {
	l := newLayout(tiny().Arch.Params())
	decays, weights := l.decays(), l.initial(1)
	for i, p := range l.params {
		decayed := l.part(decays, i)[0] == 1
		matrix := strings.HasSuffix(p.Name, ".weight") && !strings.Contains(p.Name, "norm")
		if decayed != matrix {
			t.Errorf("%s: decays %v", p.Name, decayed)
		}
		if strings.HasSuffix(p.Name, "norm1.weight") && l.part(weights, i)[0] != 1 {
			t.Errorf("%s starts at %v", p.Name, l.part(weights, i)[0])
		}
	}
	if again := l.initial(1); again[100] != weights[100] {
		t.Error("the same seed gives other weights")
	}
	if other := l.initial(2); other[100] == weights[100] {
		t.Error("another seed gives the same weights")
	}
}

// TestDraw: batches are functions of the step, and never of the seeds that
// test pictures have.
func TestDraw(t *testing.T) {
	for name, r := range tinyOf(t) {
		pixels := func(step int) []uint8 {
			values, err := tensors.CopyFlatData[uint8](r.task.draw(&r, step)[0])
			if err != nil {
				t.Fatal(err)
			}
			return values
		}
		last := r.Steps - 1
		if !bytes.Equal(pixels(last), pixels(last)) {
			t.Errorf("%s: a step's batch is not always the same", name)
		}
		if bytes.Equal(pixels(last), pixels(last-1)) {
			t.Errorf("%s: two steps have the same batch", name)
		}
		if name == "contrastive" {
			continue // its scenes have other colours and places than seed and index say
		}
		want := scenes.Draw(scenes.TrainSeeds+r.Seed, uint64(last*r.Batch))
		if got := pixels(last)[:len(want.Pix)]; !bytes.Equal(got, want.Pix) {
			t.Errorf("%s: the first scene of a batch is not the one of the training seed", name)
		}
	}
}

// floors are what the shipped models have to reach in the tests of evaluate. (The
// linear heads of dino-mini and dinov2-mini are tested by package experiments.)
var floors = map[string]float64{"own head": 0.90, "zero-shot over classes": 0.85, "zero-shot over places": 0.80}

// TestShipped tests every checkpoint that ships: it is what its recipe says, and
// as good as it is said to be; all together are small.
func TestShipped(t *testing.T) {
	b, heldOut := openBackend, 200
	if testing.Short() {
		b, heldOut = onGo, 40
	}
	total := int64(0)
	var names []string
	for _, r := range Recipes() {
		names = append(names, r.Name)
		t.Run(r.Name, func(t *testing.T) {
			ckpt, err := Open(r.Name)
			if err != nil {
				t.Fatal(err)
			}
			defer ckpt.Close()
			model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{Text: true})
			if err != nil {
				t.Fatal(err)
			}
			want := r.stored()
			for _, p := range want.params {
				if w := model.Weight(p.Name); w == nil || !slices.Equal(w.Shape().Dimensions, p.Dims) {
					t.Errorf("the recipe's tensor %s %v is not in the checkpoint", p.Name, p.Dims)
				}
			}
			if n := model.NumParams(); n != want.size() {
				t.Errorf("%d parameters, the recipe has %d", n, want.size())
			}
			if model.Arch.OutputDim() < clipEmbedding {
				t.Errorf("a representation of %d channels, less than the %d of the CLIPs' space", model.Arch.OutputDim(), clipEmbedding)
			}
			if n := model.Arch.NumClasses(); n > 0 && fmt.Sprint(model.ClassNames) != fmt.Sprint(scenes.Classes) {
				t.Errorf("classes %v", model.ClassNames)
			}
			total += shippedBytes(t, r.Name)
			if testing.Short() && r.Name == "clip-ref-mini" {
				return // clip-mini, only larger
			}
			scores, err := evaluate(context.Background(), b(t), model, Options{HeldOut: heldOut})
			if err != nil {
				t.Fatal(err)
			}
			for _, score := range scores {
				t.Logf("%s: %.1f %% of %d held-out scenes", score.Test, 100*score.Accuracy, heldOut)
				if floor, ok := floors[score.Test]; !ok || score.Accuracy < floor {
					t.Errorf("%s: %.1f %% of %d held-out scenes are right, want %.0f %%", score.Test, 100*score.Accuracy, heldOut, 100*floor)
				}
			}
			if tests := len(scores); tests == 0 && (model.Text != nil || model.Arch.NumClasses() > 0) {
				t.Error("not tested")
			}
		})
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("the recipes' names are %v, the zoo's %v", names, Names())
	}
	if total > 16_000_000 {
		t.Errorf("%d bytes ship", total)
	}
}

// shippedBytes is the size of all files of a model.
func shippedBytes(t *testing.T, name string) (size int64) {
	if err := fs.WalkDir(files, name, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return size
}

// TestWrongKind gives the weights of one architecture to the configuration of
// another, and a configuration of none.
func TestWrongKind(t *testing.T) {
	read := func(name string) []byte {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	deit := read("deit-mini/config.json")
	for name, test := range map[string]struct {
		config []byte
		model  string
		want   []string
	}{
		"a Swin as a ViT":  {deit, "swin-mini", []string{"do not fit the configuration", "missing (blocks.0.attn.proj.bias"}},
		"a ViT as a Swin":  {read("swin-mini/config.json"), "deit-mini", []string{"do not fit the configuration", "missing"}},
		"a DINO as a DeiT": {deit, "dino-mini", []string{"do not fit the configuration", "missing (blocks.4."}},
		"a MaxViT of an unknown kind": {bytes.Replace(read("maxvit-mini/config.json"), []byte("maxvit_tiny_tf_224"), []byte("maxvit_nano_rw_255"), 1),
			"maxvit-mini", []string{`architecture "maxvit_nano_rw_255" is not known`}},
	} {
		ckpt, err := checkpoint.OpenFS(fstest.MapFS{
			configFile: {Data: test.config}, modelFile: {Data: read(test.model + "/" + modelFile)},
		}, "mixed")
		if err != nil {
			t.Fatal(err)
		}
		_, err = gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range append(test.want, "mixed") {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %q, want one line with %q", name, err, want)
			}
		}
		if err := ckpt.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenUnknown(t *testing.T) {
	for _, name := range []string{"", ".", "..", "deit-huge", "deit-mini/", "../zoo", "deit-mini/../deit-mini"} {
		if Has(name) {
			t.Errorf("Has(%q)", name)
		}
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), "deit-mini") {
			t.Errorf("Open(%q): error %v", name, err)
		}
	}
}
