package checkpoint

import (
	"fmt"
	"strings"

	"vitdecompose/gomlxvit/npz"
	"vitdecompose/gomlxvit/strided"
)

// fromFlax gives the arrays of a vision transformer of Flax, as the AugReg releases and big_vision publish them, timm's names
// and layouts: matrices are transposed, queries, keys and values one behind the other.
func fromFlax(arrays []npz.Array, path string) (Tensors, []string, error) {
	prefix := ""
	has := func(name string) bool {
		for _, a := range arrays {
			if a.Name == name {
				return true
			}
		}
		return false
	}
	for _, other := range []string{"opt/target/", "params/", "params/img/"} {
		if has(other + "embedding/kernel") {
			prefix = other
		}
	}
	if !has(prefix + "embedding/kernel") {
		return nil, nil, fmt.Errorf("%s: no vision transformer of Flax: there is no array embedding/kernel", path)
	}
	v, left := newViews(path), 0
	byName := make(map[string]strided.Tensor, len(arrays))
	for _, a := range arrays {
		if name, ok := strings.CutPrefix(a.Name, prefix); ok {
			byName[name] = a.Tensor
		} else {
			left++
		}
	}
	// In the order of the parts that are joined, which the file may not have.
	for _, a := range arrays {
		name, ok := strings.CutPrefix(a.Name, prefix)
		if !ok || strings.Contains(name, "/key/") || strings.Contains(name, "/value/") {
			continue
		}
		for _, part := range []string{"/query/", "/key/", "/value/"} {
			t, ok := byName[strings.Replace(name, "/query/", part, 1)]
			if !ok {
				return nil, nil, fmt.Errorf("%s: %s is there, and %s missing beside it", path, a.Name, strings.Trim(part, "/"))
			}
			if err := v.addFlax(name, t); err != nil {
				return nil, nil, fmt.Errorf("%s: array %.100q: %w", path, a.Name, err)
			}
			if !strings.Contains(name, "/query/") {
				break
			}
		}
	}
	assumed := []string{"arrays of Flax have timm's names and layouts, as timm reads them"}
	if left > 0 {
		assumed = append(assumed, fmt.Sprintf("%d arrays beside those of %q are left out", left, prefix))
	}
	return v, assumed, nil
}

// flaxNames are the names of the arrays and timm's, blocks without their number.
var flaxNames = strings.NewReplacer(
	"Transformer/posembed_input/pos_embedding", "pos_embed", "pos_embedding", "pos_embed", "embedding/", "patch_embed.proj.",
	"Transformer/encoder_norm/", "norm.", "head/", "head.", "cls", "cls_token",
	"LayerNorm_0/", "norm1.", "LayerNorm_1/", "norm2.", "LayerNorm_2/", "norm2.",
	"MultiHeadDotProductAttention_0/", "attn.", "MultiHeadDotProductAttention_1/", "attn.",
	"MlpBlock_0/", "mlp.", "MlpBlock_3/", "mlp.", "Dense_0/", "fc1.", "Dense_1/", "fc2.",
	"query/", "qkv.", "out/", "proj.", "kernel", "weight", "scale", "weight",
)

// addFlax adds an array in timm's layout under timm's name.
func (v *views) addFlax(name string, t strided.Tensor) error {
	const block = "Transformer/encoderblock"
	rest, isBlock := strings.CutPrefix(name, block)
	if stacked, ok := strings.CutPrefix(rest, "/"); ok && isBlock { // all blocks in one array, along its first axis
		if len(t.Shape) == 0 {
			return fmt.Errorf("its shape %v has no axis for blocks", t.Shape)
		}
		for i := range t.Shape[0] {
			if err := v.addFlax(fmt.Sprintf("%s_%d/%s", block, i, stacked), t.At(i)); err != nil {
				return err
			}
		}
		return nil
	}
	timm := flaxNames.Replace(name)
	if number, inner, ok := strings.Cut(strings.TrimPrefix(rest, "_"), "/"); isBlock && ok {
		timm = "blocks." + number + "." + flaxNames.Replace(inner)
	}
	ok := true
	switch rank := len(t.Shape); {
	case strings.HasSuffix(name, "MultiHeadDotProductAttention_0/out/kernel"), strings.HasSuffix(name, "MultiHeadDotProductAttention_1/out/kernel"):
		if rank != 3 { // [head, channel, dim]
			return fmt.Errorf("its shape is %v, with three axes expected", t.Shape)
		}
		if t, ok = t.Joined(0); ok {
			t = t.Permuted(1, 0)
		}
	case strings.Contains(name, "/query/") && strings.HasSuffix(name, "/kernel"):
		if rank != 3 { // [dim, head, channel]
			return fmt.Errorf("its shape is %v, with three axes expected", t.Shape)
		}
		if t, ok = t.Joined(1); ok {
			t = t.Permuted(1, 0)
		}
	case strings.Contains(name, "/query/") && rank == 2: // the bias, [head, channel]
		t, ok = t.Joined(0)
	case strings.HasSuffix(name, "kernel") && rank == 4: // [height, width, in, out]
		t = t.Permuted(3, 2, 0, 1)
	case strings.HasSuffix(name, "kernel") && rank == 2:
		t = t.Permuted(1, 0)
	}
	if !ok {
		return fmt.Errorf("its numbers lie in another order than Flax writes them")
	}
	if strings.Contains(name, "/query/") {
		return v.extend(timm, t)
	}
	return v.add(timm, t)
}
