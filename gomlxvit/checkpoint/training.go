package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vitdecompose/gomlxvit/strided"
	"vitdecompose/gomlxvit/torchfile"
)

// stateKeys are what checkpoints of training call the weights, in the order in which timm looks for them, with those of
// self-supervised training behind.
var stateKeys = []string{"state_dict_ema", "model_ema", "state_dict", "model", "teacher", "target_encoder", "encoder", "student"}

// stateOf finds the weights in what torch.save has written, and says where.
func stateOf(root any, path string) (Tensors, []string, error) {
	state, ok := root.(*torchfile.Dict)
	if !ok {
		return nil, nil, fmt.Errorf("%s: holds %s, not weights by their names: save a model's state_dict()", path, kindOf(root))
	}
	var assumed, within []string
	for range len(stateKeys) { // dictionaries may hold themselves
		key, inner := weightsIn(state)
		if inner == nil {
			break
		}
		within = append(within, key)
		state = inner
	}
	if len(within) > 0 {
		line := fmt.Sprintf("the weights are those that the file calls %s", strings.Join(within, "."))
		if strings.HasSuffix(within[0], "_ema") {
			line += " (their moving average, which timm takes too)"
		}
		assumed = append(assumed, line)
	}
	v := newViews(path)
	left := 0
	for i, key := range state.Keys {
		name, isText := key.(string)
		t, isTensor := state.Values[i].(*torchfile.Tensor)
		if !isText || !isTensor {
			left++
			continue
		}
		if err := v.add(name, *t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(v.names) == 0 {
		return nil, nil, fmt.Errorf("%s: there are no tensors by their names, nor a dictionary called one of %s: save a model's state_dict()", path, strings.Join(stateKeys, ", "))
	}
	if left > 0 {
		assumed = append(assumed, fmt.Sprintf("%d entries beside the weights are left out: they are no tensors", left))
	}
	// Self-supervised training keeps the transformer beside the heads that it is trained with.
	if others := v.keep(ofBackbone); others > 0 {
		assumed = append(assumed, fmt.Sprintf("%d tensors beside those of the backbone are left out", others))
	}
	return v, assumed, nil
}

// ofBackbone tells the tensors of a transformer by their names, which those of parallel training and of compilation may
// precede.
func ofBackbone(name string) bool {
	return strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "module."), "_orig_mod."), "backbone.")
}

// keep leaves out all but some tensors and says how many; where there are none of these, it leaves out none.
func (v *views) keep(some func(name string) bool) (left int) {
	if !slices.ContainsFunc(v.names, some) {
		return 0
	}
	before := len(v.names)
	v.names = slices.DeleteFunc(v.names, func(name string) bool { return !some(name) })
	maps.DeleteFunc(v.parts, func(name string, _ []strided.Tensor) bool { return !some(name) })
	return before - len(v.names)
}

func weightsIn(d *torchfile.Dict) (string, *torchfile.Dict) {
	for _, key := range stateKeys {
		if value, _ := d.Get(key); value != nil {
			if inner, ok := value.(*torchfile.Dict); ok {
				return key, inner
			}
		}
	}
	return "", nil
}

// kindOf says in words what a value is.
func kindOf(value any) string {
	switch value.(type) {
	case *torchfile.Tensor:
		return "one tensor"
	case *torchfile.List, torchfile.Tuple:
		return "a list"
	}
	return "a value"
}

// trainingConfig is the configuration, as timm's config.json would have it, of a checkpoint that timm's training has
// written: the name of the architecture, and arguments that say more. It is nil where there is no name.
func trainingConfig(root any) ([]byte, error) {
	d, ok := root.(*torchfile.Dict)
	if !ok {
		return nil, nil
	}
	args := &torchfile.Dict{}
	switch value, _ := d.Get("args"); value := value.(type) {
	case *torchfile.Namespace:
		if value.Attributes != nil {
			args = value.Attributes
		}
	case *torchfile.Dict:
		args = value
	}
	first := func(accept func(value any) bool, names ...string) any {
		for _, name := range names {
			if value, _ := args.Get(name); accept(value) {
				return value
			}
		}
		return nil
	}
	text := func(value any) bool { s, ok := value.(string); return ok && s != "" }
	list := func(value any) bool {
		_, isList := value.(*torchfile.List)
		_, isTuple := value.(torchfile.Tuple)
		return isList || isTuple
	}
	number := func(value any) bool {
		_, isInt := value.(int64)
		_, isFloat := value.(float64)
		return isInt || isFloat
	}
	arch, _ := d.Get("arch")
	if !text(arch) {
		arch = first(text, "model")
	}
	if arch == nil {
		return nil, nil
	}
	pictures := map[string]any{
		"mean": first(list, "mean"), "std": first(list, "std"), "crop_pct": first(number, "crop_pct"), "input_size": first(list, "input_size"),
		"interpolation": first(func(value any) bool { return text(value) && value != any("random") }, "interpolation"),
	}
	if side := first(number, "img_size", "input_size"); side != nil && pictures["input_size"] == nil {
		pictures["input_size"] = torchfile.Tuple{int64(3), side, side}
	}
	budget := maxValues
	config := map[string]any{"architecture": arch}
	for name, value := range map[string]any{
		"num_classes": first(number, "num_classes", "nb_classes"), "global_pool": first(text, "gp"),
		"model_args": first(func(value any) bool { _, ok := value.(*torchfile.Dict); return ok }, "model_kwargs"),
	} {
		if value != nil {
			config[name] = plain(value, &budget)
		}
	}
	given := make(map[string]any)
	for name, value := range pictures {
		if value != nil {
			given[name] = plain(value, &budget)
		}
	}
	config["pretrained_cfg"] = given
	if budget < 0 {
		return nil, fmt.Errorf("its args hold more than %d values", maxValues)
	}
	return json.Marshal(config)
}

// maxValues are how many values of args are taken: a value may be in many places.
const maxValues = 1 << 12

// plain is a value as encoding/json writes it.
func plain(value any, budget *int) any {
	if *budget--; *budget < 0 {
		return nil
	}
	items := []any(nil)
	switch value := value.(type) {
	case *torchfile.Dict:
		fields := make(map[string]any)
		for i, key := range value.Keys {
			if name, ok := key.(string); ok {
				fields[name] = plain(value.Values[i], budget)
			}
		}
		return fields
	case *torchfile.List:
		items = value.Items
	case torchfile.Tuple:
		items = value
	case bool, int64, float64, string:
		return value
	default:
		return nil
	}
	list := make([]any, len(items))
	for i, item := range items {
		list[i] = plain(item, budget)
	}
	return list
}
