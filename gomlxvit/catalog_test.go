package gomlxvit_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vitdecompose/gomlxvit"
)

var update = flag.Bool("update", false, "write docs/models.md anew")

// The lists that coverage is counted by: timm 1.0.31's pretrained tags of transformer and hybrid image models, by module and
// architecture, open_clip 3.3.0's pairs of model and tag, and the model types of the transformers library 5.24.0.
const (
	timmTags     = "testdata/timm_tags.json"
	openCLIPTags = "testdata/open_clip_tags.json"
)

var transformersTypes = []string{"vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "clip", "clip_vision_model", "siglip",
	"siglip2", "swin", "swinv2", "beit", "vit_mae", "vit_msn", "timm_wrapper"}

func readJSON[T any](t *testing.T, file string) T {
	t.Helper()
	var value T
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// The document says how much is known, counted over the lists.
func TestCoverage(t *testing.T) {
	var out bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	say("# Models\n")
	say("Which published models are read, counted by")
	say("\n    go test ./gomlxvit -run Coverage -update\n")
	say("over the lists of names in [`gomlxvit/testdata`](../gomlxvit/testdata). `vitdecompose models` lists the architectures by name,")
	say("`vitdecompose models NAME` explains one and says where its weights are, and `vitdecompose models --check DIR` tells whether a")
	say("checkpoint loads.\n")

	modules := readJSON[map[string]map[string][]string](t, timmTags)
	type count struct {
		module                    string
		architectures, read, from int
		why                       string
	}
	var counts []count
	total := count{}
	for module, architectures := range modules {
		c := count{module: module}
		for _, name := range slices.Sorted(maps.Keys(architectures)) {
			tags := architectures[name]
			c.from += len(tags)
			if len(tags) == 0 {
				continue
			}
			_, err := gomlxvit.Timm(name, nil)
			if err == nil {
				c.architectures++
				c.read += len(tags)
			} else if c.why != "" || !strings.Contains(err.Error(), "not known") {
				c.why += " " + name
			}
		}
		counts = append(counts, c)
		total.architectures, total.read, total.from = total.architectures+c.architectures, total.read+c.read, total.from+c.from
	}
	slices.SortFunc(counts, func(a, b count) int {
		if a.read != b.read {
			return b.read - a.read
		}
		return strings.Compare(a.module, b.module)
	})
	say("## timm\n")
	say("%d of %d pretrained tags of transformer and hybrid image models (timm 1.0.31), by the module that has them:\n", total.read, total.from)
	say("| module | architectures read | tags read | of |\n|---|---|---|---|")
	var none []string
	for _, c := range counts {
		if c.read == 0 {
			none = append(none, fmt.Sprintf("%s (%d)", c.module, c.from))
			continue
		}
		say("| `%s` | %d | %d | %d |", c.module, c.architectures, c.read, c.from)
	}
	say("\nNot read: %s.\n", strings.Join(none, ", "))
	if total.read < 520 {
		t.Errorf("%d of %d tags of timm are read, want 520", total.read, total.from)
	}

	pairs := readJSON[[][2]string](t, openCLIPTags)
	byFamily, refused := map[string]int{}, map[string]int{}
	withTexts, read := 0, 0
	for _, pair := range pairs {
		entry, err := gomlxvit.Find(pair[0])
		if err != nil {
			refused[pair[0]]++
			continue
		}
		if !slices.ContainsFunc(entry.Weights, func(w gomlxvit.Weighted) bool { return w.Tag == pair[1] }) {
			t.Errorf("%s does not have the tag %s", pair[0], pair[1])
		}
		read++
		byFamily[entry.Family.Name]++
		if entry.Text != nil {
			withTexts++
		}
	}
	say("## open_clip\n")
	say("%d of %d pretrained tags (open_clip 3.3.0), %d of them with their texts:\n", read, len(pairs), withTexts)
	say("| family | tags read |\n|---|---|")
	for _, family := range slices.Sorted(maps.Keys(byFamily)) {
		say("| %s | %d |", family, byFamily[family])
	}
	say("\nNot read: %s.\n", strings.Join(slices.Sorted(maps.Keys(refused)), ", "))
	if read < 147 {
		t.Errorf("%d of %d tags of open_clip are read, want 147", read, len(pairs))
	}

	types := gomlxvit.TransformersTypes()
	for _, name := range transformersTypes {
		if !slices.Contains(types, name) {
			t.Errorf("the type %s of the transformers library is not read", name)
		}
	}
	say("## transformers\n")
	say("Model types that `save_pretrained` writes and that are read: %s.", strings.Join(types, ", "))

	file := filepath.Join("..", "docs", "models.md")
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(file); err != nil || !bytes.Equal(written, out.Bytes()) {
		t.Errorf("%s is not up to date (%v): run this test with -update", file, err)
	}
}

// Every architecture of the tables is found by its name, said what it is and counted.
func TestCatalog(t *testing.T) {
	entries := gomlxvit.Catalog()
	if len(entries) != len(gomlxvit.Names()) {
		t.Errorf("%d entries of %d names", len(entries), len(gomlxvit.Names()))
	}
	for i, entry := range entries {
		facts := gomlxvit.Describe(entry.Arch)
		if len(facts) < 6 || entry.Arguments == "" {
			t.Errorf("%s: %v %s", entry.Name, facts, entry.Arguments)
		}
		if i > 0 && entry.Family == entries[i-1].Family && entry.Name <= entries[i-1].Name {
			t.Errorf("%s is behind %s", entry.Name, entries[i-1].Name)
		}
	}
	for name, family := range map[string]string{
		"vit_base_patch16_224": "ViT", "deit3_base_patch16_224": "DeiT, DeiT III", "ViT-B-16-SigLIP2": "SigLIP, SigLIP 2", "ViT-B-32": "CLIP",
		"EVA02-B-16": "EVA, EVA-02, EVA-CLIP", "PE-Core-B-16": "Perception Encoder", "swinv2_tiny_window8_256": "Swin V2", "vit_small_patch16_dinov3": "DINOv3",
		"maxvit_nano_rw_256": "MaxViT, MaxxViT", "maxxvitv2_nano_rw_256": "MaxViT, MaxxViT", "coatnet_0_rw_224": "CoAtNet, CoAtNeXt", "coatnext_nano_rw_224": "CoAtNet, CoAtNeXt",
	} {
		entry, err := gomlxvit.Find(name)
		if err != nil || entry.Family.Name != family || len(entry.Weights) == 0 {
			t.Errorf("%s: %+v, %v; want the family %s", name, entry, err, family)
		}
	}
	for name, want := range map[string]string{
		"coatnet_0_rw_224": "114 heads, 9 MLPs, 5 convolutions, init; biases are const, and heads can be split by token",
		// stages of 2 and 6 convolutions, 14 and 2 attentions; the first of a stage has the heads of the stage before
		"coatnet_rmlp_1_rw_224": "198 heads, 16 MLPs, 8 convolutions, init; biases are const, and tokens are not followed through maxima over tokens",
		"hiera_tiny_224":        "heads, MLPs, init; biases are const, and tokens are not followed through maxima over tokens",
		"maxxvitv2_nano_rw_256": "75 heads, 7 MLPs, 7 convolutions, init; biases are const, and heads can be split by token",
		"maxvit_tiny_tf_224":    "168 heads, 22 MLPs, 11 convolutions, init; biases are const, and heads can be split by token",
	} {
		entry, err := gomlxvit.Find(name)
		if err != nil {
			t.Error(err)
			continue
		}
		facts := gomlxvit.Describe(entry.Arch)
		if got := facts[len(facts)-1].Value; got != want {
			t.Errorf("%s is taken apart into %s, want %s", name, got, want)
		}
	}
	entry, err := gomlxvit.Find("vit_base_patch16_224.dino")
	if err != nil || entry.Arch.NumClasses() != 0 || !slices.Equal(entry.Weights, []gomlxvit.Weighted{{Tag: "dino", Ref: "hf:timm/vit_base_patch16_224.dino"}}) {
		t.Errorf("%+v, %v", entry, err)
	}
	if _, err := gomlxvit.Find("vit_base_patch16_224.frob"); err == nil || !strings.Contains(err.Error(), "no tag") {
		t.Errorf("error %v", err)
	}
}
