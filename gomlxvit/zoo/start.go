package zoo

import (
	"fmt"
	"slices"
	"strings"

	"vitdecompose/gomlxvit"
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

// startFrom puts the weights of a vision transformer of the zoo into the first
// weights of another model's image transformer, which computes the same then.
// Blocks that only the other one has add nothing at first; its LayerScale is 1.
// What the transformer does not have, heads and texts, stays as it is.
//
// A CLIP's image tower can start so (Zhai et al. 2022, arXiv 2111.07991, tune
// texts to a trained image tower; here both towers go on learning), and a DINOv2
// from a DINO.
func startFrom(ckpt *checkpoint.Checkpoint, l layout, weights []float32) error {
	clip := slices.ContainsFunc(l.params, func(p gomlxvit.Param) bool { return p.Name == "visual.conv1.weight" })
	found := map[string][]float32{}
	for _, name := range ckpt.Weights.Names() {
		values, err := ckpt.Weights.Float32(name)
		if err != nil {
			return err
		}
		if clip {
			name = openCLIPName(name)
		}
		found[name] = values
	}
	if clip {
		// open_clip's patch embedding has no bias: it moves into the positions of the patches.
		positions, bias := found["visual.positional_embedding"], found["patch_embed.proj.bias"]
		if len(bias) == 0 || len(positions) == 0 || len(positions)%len(bias) != 0 {
			return fmt.Errorf("%s: not a vision transformer with a class token and a patch bias", ckpt.Ref)
		}
		for i := len(bias); i < len(positions); i++ {
			positions[i] += bias[i%len(bias)]
		}
	}
	for i, p := range l.params {
		part := l.part(weights, i)
		values, ok := found[p.Name]
		switch name := p.Name; {
		case ok && len(values) != len(part):
			return fmt.Errorf("%s: %s has %d values, %d are needed", ckpt.Ref, name, len(values), len(part))
		case ok:
			copy(part, values)
		case strings.HasSuffix(name, ".gamma"):
			for k := range part {
				part[k] = 1
			}
		case strings.HasPrefix(name, "visual.transformer.") && (strings.HasSuffix(name, "attn.out_proj.weight") || strings.HasSuffix(name, "mlp.c_proj.weight")):
			clear(part)
		case strings.HasPrefix(name, "visual.transformer."), !ofTransformer(name):
		default:
			return fmt.Errorf("%s: it has nothing for %s", ckpt.Ref, name)
		}
	}
	return nil
}

// openCLIPName is what open_clip calls a tensor that timm calls so.
func openCLIPName(name string) string {
	if rest, ok := strings.CutPrefix(name, "norm."); ok { // "norm" is a part of other names
		return "visual.ln_post." + rest
	}
	return timmToOpenCLIP.Replace(name)
}

// ofTransformer tells the tensors of an image transformer from those of heads,
// texts and training.
func ofTransformer(name string) bool {
	if name, ok := strings.CutPrefix(name, "visual."); ok {
		return name != "proj"
	}
	for _, start := range []string{"blocks.", "patch_embed.", "cls_token", "pos_embed", "norm."} {
		if strings.HasPrefix(name, start) {
			return true
		}
	}
	return false
}
