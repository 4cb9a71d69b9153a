package gomlxvit

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
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

// oneOf reads a word of which only these are supported.
func (a argument) oneOf(to *string, known ...string) error {
	word := ""
	if err := a.text(&word); err != nil {
		return err
	}
	if !slices.Contains(known, word) {
		return fmt.Errorf("model_args.%s %q is not one of %s", a.key, word, quoted(known))
	}
	*to = word
	return nil
}

// quoted lists words.
func quoted(words []string) string {
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = strconv.Quote(word)
	}
	return strings.Join(list, ", ")
}

// choice reads which of two words is given: whether it is the second.
func (a argument) choice(to *bool, first, second string) error {
	word := ""
	if err := a.oneOf(&word, first, second); err != nil {
		return err
	}
	*to = word == second
	return nil
}

// present reads a number that stands for whether something is there: not for 0.
func (a argument) present() (bool, error) {
	number := 0.0
	err := a.number(&number)
	return number != 0, err
}

// activation reads act_layer; null is GELU.
func (a argument) activation(to *Activation) error {
	*to = GELU
	if a.value == nil {
		return nil
	}
	return a.oneOfActivations(to, GELU, GELUTanh, QuickGELU)
}

// oneOfActivations reads an activation of which only these are supported.
func (a argument) oneOfActivations(to *Activation, known ...Activation) error {
	names := make([]string, len(known))
	for i, activation := range known {
		names[i] = string(activation)
	}
	name := ""
	err := a.oneOf(&name, names...)
	if err == nil {
		*to = Activation(name)
	}
	return err
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
