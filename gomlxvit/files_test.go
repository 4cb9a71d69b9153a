package gomlxvit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// loadGiven loads a checkpoint with what is said of it.
func loadGiven(t *testing.T, ref string, given checkpoint.Given) (*gomlxvit.Model, error) {
	t.Helper()
	ckpt, err := checkpoint.OpenGiven(ref, given)
	if err != nil {
		return nil, err
	}
	defer ckpt.Close()
	return gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
}

// The weights of a tiny DeiT in all the forms in which people have them give what PyTorch computes with them, read by torch,
// timm and safetensors (golden2/README.md of the shared data).
func TestFiles(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(golden.Dir(t, "vit_deit"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	io := golden.Open(t, golden.Shared(t, "golden2", "files"), "io.safetensors")
	for _, test := range []struct {
		file, outputs string
		assumed       []string
	}{
		{"vit_deit.pth", "vit_deit", nil},
		{"sharded", "vit_deit", nil},
		{"vit_deit_augreg.npz", "vit_deit", []string{"Flax"}},
		{"checkpoint_ema.pth.tar", "vit_deit", []string{"state_dict_ema"}},
		{"checkpoint_module.pth.tar", "vit_deit", []string{"calls state_dict", `"module."`}},
		{"vit_deit_bf16.pth", "bf16", []string{"calls model"}},
	} {
		t.Run(test.file, func(t *testing.T) {
			given := checkpoint.Given{Config: config, ConfigFile: "config.json"}
			if test.file == "sharded" {
				given = checkpoint.Given{}
			}
			model, err := loadGiven(t, golden.Shared(t, "golden2", "files", test.file), given)
			if err != nil {
				t.Fatal(err)
			}
			z, logits := forward(t, model, io.Tensor(t, "input"), io.Shape(t, "input"))
			golden.Close(t, "representation", z, io.Tensor(t, test.outputs+".features"), 2e-5)
			golden.Close(t, "logits", logits, io.Tensor(t, test.outputs+".logits"), 2e-5)
			text := strings.Join(model.Assumptions, "; ")
			for _, want := range test.assumed {
				if !strings.Contains(text, want) {
					t.Errorf("assumptions %q, want %q", text, want)
				}
			}
			if len(model.Assumptions) != len(test.assumed) {
				t.Errorf("assumptions %q, want %d", text, len(test.assumed))
			}
		})
	}
}

// A directory of the transformers library from before safetensors.
func TestFilesOfTransformers(t *testing.T) {
	io := golden.Open(t, golden.Shared(t, "golden2", "hf_vit"), "io.safetensors")
	dir := golden.Shared(t, "golden2", "files", "bin")
	for _, ref := range []string{dir, filepath.Join(dir, "pytorch_model.bin")} {
		model, err := loadGiven(t, ref, checkpoint.Given{})
		if err != nil {
			t.Fatal(err)
		}
		z, logits := forward(t, model, io.Tensor(t, "pixel_values"), io.Shape(t, "pixel_values"))
		golden.Close(t, "representation", z, io.Tensor(t, "features"), 2e-5)
		golden.Close(t, "logits", logits, io.Tensor(t, "logits"), 2e-5)
	}
}

// What else is known of a file: its training says the architecture, which is not that of this tiny one; an architecture by
// its name has as many classes as the file's head.
func TestFilesWithoutConfiguration(t *testing.T) {
	for _, test := range []struct {
		file, arch string
		want       []string
	}{
		{"checkpoint_ema.pth.tar", "", []string{"96 missing", "of another shape"}},
		{"checkpoint_module.pth.tar", "", []string{"of another shape"}},
		{"vit_deit.pth", "deit_tiny_patch16_224", []string{"of another shape", "missing"}},
		{"vit_deit.pth", "ViT-B-32", []string{"missing"}},
		{"vit_deit.pth", "", []string{"vit_deit.pth", "does not say what architecture", "option Arch"}},
		{"vit_deit_augreg.npz", "", []string{"vit_deit_augreg.npz", "option Arch"}},
		{"hostile.pth", "", []string{"hostile.pth", "io.open"}},
		{"hostile.pth", "deit_tiny_patch16_224", []string{"hostile.pth", "io.open"}},
		{"hostile_legacy.pth", "deit_tiny_patch16_224", []string{"posix.system"}},
		{"hostile_plain.pkl.pth", "deit_tiny_patch16_224", []string{"posix.system"}},
		{"views.pth", "deit_tiny_patch16_224", []string{"missing"}},
	} {
		var given checkpoint.Given
		if test.arch != "" {
			config, basis, err := gomlxvit.Configuration(test.arch)
			if err != nil {
				t.Fatal(err)
			}
			given = checkpoint.Given{Config: config, ConfigFile: test.arch, NameOnly: true, Basis: basis}
		}
		t.Run(test.file+" "+test.arch, func(t *testing.T) {
			file := golden.Shared(t, "golden2", "files", test.file)
			t.Chdir(t.TempDir())
			_, err := loadGiven(t, file, given)
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one of one line", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q", err, want)
				}
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("%v is left behind (%v)", left, err)
			}
		})
	}
	if _, _, err := gomlxvit.Configuration("vit_tiny_patch16_225"); err == nil || !strings.Contains(err.Error(), "vit_tiny_patch16_224") {
		t.Errorf("error %v, want one with the nearest names", err)
	}
}
