package zoo

import (
	"fmt"
	"strings"

	"vitdecompose/gomlxvit/checkpoint"
)

// timmToOpenCLIP are the names of a vision transformer's tensors in timm and in
// open_clip, as parts of them.
var timmToOpenCLIP = strings.NewReplacer(
	"patch_embed.proj.weight", "visual.conv1.weight",
	"cls_token", "visual.class_embedding",
	"pos_embed", "visual.positional_embedding",
	"blocks.", "visual.transformer.resblocks.",
	"norm1", "ln_1", "norm2", "ln_2",
	"attn.qkv.weight", "attn.in_proj_weight", "attn.qkv.bias", "attn.in_proj_bias", "attn.proj", "attn.out_proj",
	"mlp.fc1", "mlp.c_fc", "mlp.fc2", "mlp.c_proj",
)

// startFrom puts the image transformer of a vision transformer of the zoo into the
// first weights of a CLIP: their image towers compute the same then, but for the
// projection. (Zhai et al. 2022, arXiv 2111.07991, tune texts to a trained image
// tower; here both towers go on learning.) Blocks that only the CLIP has add
// nothing at first.
func startFrom(ckpt *checkpoint.Checkpoint, l layout, weights []float32) error {
	found := map[string][]float32{}
	for _, name := range ckpt.Weights.Names() {
		values, err := ckpt.Weights.Float32(name)
		if err != nil {
			return err
		}
		to := timmToOpenCLIP.Replace(name)
		if rest, ok := strings.CutPrefix(name, "norm."); ok { // "norm" is a part of other names
			to = "visual.ln_post." + rest
		}
		found[to] = values
	}
	// open_clip's patch embedding has no bias: it moves into the positions of the patches.
	positions, bias := found["visual.positional_embedding"], found["patch_embed.proj.bias"]
	if len(bias) == 0 || len(positions)%len(bias) != 0 {
		return fmt.Errorf("%s: not a vision transformer with a class token and a patch bias", ckpt.Ref)
	}
	for i := len(bias); i < len(positions); i++ {
		positions[i] += bias[i%len(bias)]
	}
	for i, p := range l.params {
		name, ok := strings.CutPrefix(p.Name, "visual.")
		if !ok || name == "proj" {
			continue
		}
		part := l.part(weights, i)
		values, ok := found[p.Name]
		switch {
		case ok && len(values) != len(part):
			return fmt.Errorf("%s: %s has %d values, %d are needed", ckpt.Ref, p.Name, len(values), len(part))
		case ok:
			copy(part, values)
		case strings.HasSuffix(name, "attn.out_proj.weight"), strings.HasSuffix(name, "mlp.c_proj.weight"):
			clear(part)
		case !strings.HasPrefix(name, "transformer."):
			return fmt.Errorf("%s: it has nothing for %s", ckpt.Ref, p.Name)
		}
	}
	return nil
}
