package gomlxvit

import (
	"fmt"
	"slices"
	"strings"

	"vitdecompose/gomlxvit/checkpoint"
)

// The architectures with stages, by their names in timm.
var (
	swins   = buildSwins()
	maxViTs = buildMaxViTs()
)

func buildSwins() map[string]SwinConfig {
	r := make(map[string]SwinConfig)
	for size, c := range map[string]struct{ width, depth, heads int }{
		"tiny": {96, 6, 3}, "small": {96, 18, 3}, "base": {128, 18, 4}, "large": {192, 18, 6},
	} {
		swin := SwinConfig{
			ImageSize: 224, PatchSize: 4, Width: c.width, Depths: []int{2, 2, c.depth, 2},
			Heads: []int{c.heads, 2 * c.heads, 4 * c.heads, 8 * c.heads}, Windows: []int{7, 7, 7, 7},
			MLPRatio: 4, QKVBias: true, Classes: 1000, Epsilon: 1e-5,
		}
		r["swin_"+size+"_patch4_window7_224"] = swin
		if size == "base" || size == "large" {
			swin.ImageSize, swin.Windows = 384, []int{12, 12, 12, 12}
			r["swin_"+size+"_patch4_window12_384"] = swin
		}
	}
	return r
}

func buildMaxViTs() map[string]MaxViTConfig {
	r := make(map[string]MaxViTConfig)
	for size, c := range map[string]struct {
		stem, width int
		depths      []int
	}{
		"tiny": {64, 64, []int{2, 2, 5, 2}}, "small": {64, 96, []int{2, 2, 5, 2}},
		"base": {64, 96, []int{2, 6, 14, 2}}, "large": {128, 128, []int{2, 6, 14, 2}},
	} {
		for _, image := range []int{224, 384, 512} {
			r[fmt.Sprintf("maxvit_%s_tf_%d", size, image)] = MaxViTConfig{
				ImageSize: image, StemWidths: [2]int{c.stem, c.stem},
				Widths: []int{c.width, 2 * c.width, 4 * c.width, 8 * c.width}, Depths: c.depths,
				HeadDim: 32, Partition: 32, ConvRatio: 4, SqueezeRatio: 0.25, MLPRatio: 4, HeadHidden: 8 * c.width,
				Classes: 1000, ConvEpsilon: 1e-3, Epsilon: 1e-5,
			}
		}
	}
	return r
}

// staged is an architecture with stages, as timm's constructors make them.
type staged interface {
	resizable
	check() error
	// classes is where the number of classes stands.
	classes() *int
	// set applies one keyword argument of timm's constructor; it says whether it knows it.
	set(arg argument) (known bool, err error)
}

// lookupStaged finds an architecture with stages, nil if there is none of this name.
func lookupStaged(name string) staged {
	base, _, _ := strings.Cut(name, ".")
	if c, ok := swins[base]; ok {
		return &c
	}
	if c, ok := maxViTs[base]; ok {
		return &c
	}
	return nil
}

// fromTimmStaged applies model_args to an architecture with stages.
func fromTimmStaged(c staged, ckpt *checkpoint.Checkpoint) error {
	if ckpt.NumClasses >= 0 {
		*c.classes() = ckpt.NumClasses
	}
	pool := ckpt.GlobalPool
	for _, key := range sortedKeys(ckpt.ModelArgs) {
		arg := argument{key, ckpt.ModelArgs[key]}
		known, err := true, error(nil)
		switch key {
		case "num_classes":
			err = arg.integer(c.classes())
		case "global_pool":
			err = arg.text(&pool)
		case "in_chans":
			err = arg.colour()
		case "drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init":
			// these change training, not what is computed here
		default:
			known, err = c.set(arg)
		}
		switch {
		case err != nil:
			return err
		case !known:
			return fmt.Errorf("model_args.%s is not supported", key)
		}
	}
	if pool != "" && pool != "avg" {
		return fmt.Errorf("global_pool %q is not supported: only avg", pool)
	}
	return c.check()
}

func (c *SwinConfig) classes() *int { return &c.Classes }

func (c *SwinConfig) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "img_size":
		err = arg.side(&c.ImageSize)
	case "patch_size":
		err = arg.side(&c.PatchSize)
	case "embed_dim":
		err = arg.integer(&c.Width)
	case "depths":
		// One window size serves all stages, however many there are, until window_size says otherwise.
		if err = arg.integers(&c.Depths); err == nil {
			c.Windows = slices.Repeat(c.Windows[:1], len(c.Depths))
		}
	case "num_heads":
		err = arg.integers(&c.Heads)
	case "mlp_ratio":
		err = arg.number(&c.MLPRatio)
	case "qkv_bias":
		err = arg.boolean(&c.QKVBias)
	case "window_size":
		c.Windows, err = windowSizes(arg, len(c.Depths))
	case "strict_img_size", "dynamic_img_size":
		// pictures of other sizes are not taken here
	default:
		return false, nil
	}
	return true, err
}

// windowSizes reads window_size: one side, a pair of equal sides, or a list of those, one for each stage.
func windowSizes(arg argument, stages int) ([]int, error) {
	sizes := make([]int, stages)
	list, ok := arg.value.([]any)
	perStage := ok && len(list) == stages && stages != 2
	if stages == 2 && len(list) == 2 { // two numbers are height and width
		_, perStage = list[0].([]any)
	}
	for stage := range sizes {
		side := arg
		if perStage {
			side.value = list[stage]
		}
		if err := side.side(&sizes[stage]); err != nil {
			return nil, arg.wrong("one size, or one for each stage; windows are square")
		}
	}
	return sizes, nil
}

func (c *MaxViTConfig) classes() *int { return &c.Classes }

func (c *MaxViTConfig) set(arg argument) (known bool, err error) {
	switch arg.key {
	case "img_size":
		err = arg.side(&c.ImageSize)
	case "embed_dim":
		err = arg.integers(&c.Widths)
	case "depths":
		err = arg.integers(&c.Depths)
	case "block_type":
		list, ok := arg.value.([]any)
		if !ok || slices.ContainsFunc(list, func(kind any) bool { return kind != "M" }) {
			err = arg.wrong(`a list of "M": only MaxViT's own blocks are supported`)
		}
	case "stem_width":
		widths := make([]int, 1)
		if _, list := arg.value.([]any); list {
			err = arg.integers(&widths)
		} else {
			err = arg.integer(&widths[0])
		}
		if err == nil && len(widths) > 2 {
			err = arg.wrong("one or two whole numbers")
		}
		if err == nil {
			c.StemWidths = [2]int{widths[0], widths[len(widths)-1]}
		}
	case "stem_bias":
		var bias bool
		if err = arg.boolean(&bias); err == nil && !bias {
			err = arg.wrong("true: a stem without bias is not supported")
		}
	case "head_hidden_size":
		err = arg.integer(&c.HeadHidden)
	case "conv_expand_ratio":
		err = arg.number(&c.ConvRatio)
	case "conv_attn_ratio":
		err = arg.number(&c.SqueezeRatio)
	case "transformer_expand_ratio":
		err = arg.number(&c.MLPRatio)
	case "transformer_dim_head":
		err = arg.integer(&c.HeadDim)
	case "transformer_partition_ratio":
		err = arg.integer(&c.Partition)
	default:
		return false, nil
	}
	return true, err
}
