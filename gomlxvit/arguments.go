package gomlxvit

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
)

// argument is one entry of model_args, read from JSON.
type argument struct {
	key   string
	value any
}

func (a argument) wrong(want string) error {
	return fmt.Errorf("model_args.%s is %v, want %s", a.key, a.value, want)
}

func (a argument) number(to *float64) error {
	switch v := a.value.(type) {
	case float64:
		*to = v
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return a.wrong("a number")
		}
		*to = f
	default:
		return a.wrong("a number")
	}
	return nil
}

func (a argument) integer(to *int) error {
	var f float64
	if err := a.number(&f); err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<30 {
		return a.wrong("a whole number")
	}
	*to = int(f)
	return nil
}

// side reads a length that timm takes as a number or as a pair of equal numbers.
func (a argument) side(to *int) error {
	if pair, ok := a.value.([]any); ok {
		if len(pair) != 2 || fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
			return a.wrong("one number, or two that are equal")
		}
		return argument{a.key, pair[0]}.integer(to)
	}
	return a.integer(to)
}

// integers reads a list of at least one whole number.
func (a argument) integers(to *[]int) error {
	list, ok := a.value.([]any)
	if !ok || len(list) == 0 {
		return a.wrong("a list of whole numbers")
	}
	numbers := make([]int, len(list))
	for i, value := range list {
		if err := (argument{a.key, value}).integer(&numbers[i]); err != nil {
			return a.wrong("a list of whole numbers")
		}
	}
	*to = numbers
	return nil
}

// colour checks that in_chans is 3.
func (a argument) colour() error {
	channels := 0
	if err := a.integer(&channels); err != nil {
		return err
	}
	if channels != 3 {
		return fmt.Errorf("model_args.%s is %d; only colour pictures (3) are supported", a.key, channels)
	}
	return nil
}

// boolean reads what Python takes for true or false; null is false.
func (a argument) boolean(to *bool) error {
	if a.value == nil {
		*to = false
		return nil
	}
	v, ok := a.value.(bool)
	if !ok {
		return a.wrong("true or false")
	}
	*to = v
	return nil
}

// is says whether the value is one of those given.
func (a argument) is(values ...any) bool {
	return slices.ContainsFunc(values, func(v any) bool { return reflect.DeepEqual(v, a.value) })
}

// mustBe refuses all values but those given, which are the only ones that can be computed.
func (a argument) mustBe(values ...any) error {
	if a.is(values...) {
		return nil
	}
	text, err := json.Marshal(a.value)
	if err != nil {
		return a.wrong("something else")
	}
	return fmt.Errorf("model_args.%s is not supported: %s", a.key, text)
}

// activation reads act_layer; null is GELU.
func (a argument) activation(to *Activation) error {
	*to = GELU
	if a.value == nil {
		return nil
	}
	name := ""
	if err := a.text(&name); err != nil {
		return err
	}
	if *to = Activation(name); !slices.Contains([]Activation{GELU, GELUTanh, QuickGELU}, *to) {
		return fmt.Errorf("model_args.act_layer %q is not one of gelu, gelu_tanh, quick_gelu", name)
	}
	return nil
}

// norm reads norm_layer: a layer norm or one by the root mean square, with timm's epsilon or, in the tables, its own.
func (a argument) norm(rms *bool, epsilon *float64) error {
	kind := a.value
	if norm, ok := a.value.(map[string]any); ok {
		kind = norm["name"]
		if norm["eps"] != nil {
			if err := (argument{a.key + ".eps", norm["eps"]}).number(epsilon); err != nil {
				return err
			}
		}
	}
	switch kind {
	case nil, "", "layernorm", "LayerNorm":
		*rms = false
		return nil
	case "rmsnorm", "RmsNorm":
		*rms = true
		return nil
	}
	return a.mustBe(nil)
}

func (a argument) text(to *string) error {
	v, ok := a.value.(string)
	if !ok {
		return a.wrong("a word")
	}
	*to = v
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
