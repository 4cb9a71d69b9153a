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
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
)

func openBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	return b
}

// tiny is a recipe that compiles and runs in seconds.
func tiny() Recipe {
	r := deitMini()
	r.Name, r.Batch, r.Steps, r.WarmUp, r.LearningRate = "tiny", 16, 12, 3, 3e-3
	r.ModelArgs = map[string]any{"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}
	r.Arch = vit(r.Architecture, func(c *gomlxvit.ViTConfig) {
		c.ImageSize, c.PatchSize, c.Width, c.Depth, c.Heads, c.MLPHidden, c.Classes = 64, 16, 32, 1, 2, 128, len(scenes.Classes)
	})
	return r
}

// TestStepsLowerTheLoss fits one batch.
func TestStepsLowerTheLoss(t *testing.T) {
	r := tiny()
	l := newLayout(r.Arch.Params())
	s, err := newStepper(openBackend(t), l, r.WeightDecay, r.objective)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	st, _, err := r.loadState(filepath.Join(t.TempDir(), stateFile), l)
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for range 20 {
		reports, err := s.step(st, rates{r.LearningRate, st.step + 1}, r.draw(0))
		if err != nil {
			t.Fatal(err)
		}
		if reports[1] <= 0 || math.IsNaN(reports[1]) {
			t.Fatalf("the gradient's norm is %v at step %d", reports[1], st.step)
		}
		losses = append(losses, reports[0])
	}
	if first, last := losses[0], losses[len(losses)-1]; !(last < 0.7*first) {
		t.Errorf("20 steps on one batch took the loss from %.3f to %.3f", first, last)
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
	b := openBackend(t)
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
	if whole.HeldOut != resumed.HeldOut {
		t.Errorf("held-out accuracy %v, resumed %v", whole.HeldOut, resumed.HeldOut)
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
	l := newLayout(r.Arch.Params())
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
	r := tiny()
	pixels := func(step int) []uint8 {
		values, err := tensors.CopyFlatData[uint8](r.draw(step)[0])
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	if !bytes.Equal(pixels(3), pixels(3)) {
		t.Error("a step's batch is not always the same")
	}
	if bytes.Equal(pixels(3), pixels(4)) {
		t.Error("two steps have the same batch")
	}
	want := scenes.Draw(scenes.TrainSeeds+r.Seed, uint64(3*r.Batch))
	if got := pixels(3)[:len(want.Pix)]; !bytes.Equal(got, want.Pix) {
		t.Error("the first scene of a batch is not the one of the training seed")
	}
}

// TestShipped tests every checkpoint that ships: it is what its recipe says,
// small, and as good as it is said to be.
func TestShipped(t *testing.T) {
	b := openBackend(t)
	for _, r := range Recipes() {
		t.Run(r.Name, func(t *testing.T) {
			ckpt, err := Open(r.Name)
			if err != nil {
				t.Fatal(err)
			}
			defer ckpt.Close()
			model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, want := fmt.Sprint(model.Arch.Params()), fmt.Sprint(r.Arch.Params())
			if got != want {
				t.Errorf("the checkpoint's tensors are\n%s\nthe recipe's\n%s", got, want)
			}
			if n := model.NumParams(); n < 500_000 || n > 1_000_000 {
				t.Errorf("%d parameters", n)
			}
			if fmt.Sprint(model.ClassNames) != fmt.Sprint(scenes.Classes) {
				t.Errorf("classes %v", model.ClassNames)
			}
			size := int64(0)
			if err := fs.WalkDir(files, r.Name, func(_ string, entry fs.DirEntry, err error) error {
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
			if size > 2_500_000 {
				t.Errorf("%d bytes ship", size)
			}
			accuracy, err := Accuracy(context.Background(), b, model, scenes.New(heldOutSeed, 500))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.1f %% of 500 held-out scenes", 100*accuracy)
			if accuracy < 0.90 {
				t.Errorf("%.1f %% of 500 held-out scenes are right, want 90 %%", 100*accuracy)
			}
		})
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
