// Package option declares what a user may choose, each thing once: a struct's field with tags is the field that Go code sets,
// the flag of the command line, and the entry in result.json.
//
//	type Options struct {
//		Batch int `flag:"batch" group:"pictures" default:"8" min:"1" help:"pictures computed at a time"`
//	}
//
// The tags are flag (its name on the command line), group (what it belongs to; commands take whole groups), default (what
// the zero value stands for), min (the least number), oneof (the words that may be chosen, separated by |), usual (what help
// says instead of a default that depends on other things), takes (help's word for the value, such as FILE) and help. A field
// whose zero value is itself a choice, such as a weight of 0, is a pointer: nil stands for the default.
//
// An error names an option as "option Batch", wherever it arises; [AsFlags] writes --batch instead.
package option

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Option is one field of a struct that holds options.
type Option struct {
	Field, Flag, Group, Help string
	// Usual is what help says of a default that depends on other things.
	Usual string

	tag   reflect.StructTag
	value reflect.Value
}

// Error says which option is wrong.
type Error struct {
	Field string
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("option %s: %v", e.Field, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Of lists the options of a struct, given by its address, in the order in which they are declared. With groups it lists only
// those of these groups.
func Of(target any, groups ...string) []Option {
	var options []Option
	value := reflect.ValueOf(target).Elem()
	for i := range value.NumField() {
		field := value.Type().Field(i)
		flag := field.Tag.Get("flag")
		if flag == "" || len(groups) > 0 && !slices.Contains(groups, field.Tag.Get("group")) {
			continue
		}
		options = append(options, Option{
			Field: field.Name, Flag: flag, Group: field.Tag.Get("group"), Help: field.Tag.Get("help"), Usual: field.Tag.Get("usual"),
			tag: field.Tag, value: value.Field(i),
		})
	}
	return options
}

// SetDefaults gives the options that were left open their defaults.
func SetDefaults(target any) error {
	for _, o := range Of(target) {
		if text := o.tag.Get("default"); text != "" && o.value.IsZero() {
			if err := o.Set(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check returns an error for the first option with an invalid value; options left open are fine.
func Check(target any) error {
	for _, o := range Of(target) {
		if o.value.IsZero() {
			continue
		}
		if err := o.check(o.value); err != nil {
			return &Error{o.Field, err}
		}
	}
	return nil
}

// Default is what the option is when it is left open, "" where that depends on other things.
func (o Option) Default() string { return o.tag.Get("default") }

// IsBoolFlag reports whether the option is a switch, whose flag needs no value. With Set and String it makes an option a
// [flag.Value].
func (o Option) IsBoolFlag() bool { return o.value.Kind() == reflect.Bool }

// Set reads the option from text, as a flag gives it.
func (o Option) Set(text string) error {
	if text == "" {
		return &Error{o.Field, errors.New("it is empty")} // the zero value stands for the default
	}
	read := reflect.New(o.value.Type()).Elem()
	if err := o.read(read, text); err != nil {
		return &Error{o.Field, err}
	}
	if err := o.check(read); err != nil {
		return &Error{o.Field, err}
	}
	o.value.Set(read)
	return nil
}

// String is the option's value as text, as [Option.Set] reads it.
func (o Option) String() string {
	if !o.value.IsValid() || o.value.Kind() == reflect.Pointer && o.value.IsNil() {
		return ""
	}
	v := reflect.Indirect(o.value)
	if v.Kind() == reflect.Slice {
		var items []string
		for i := range v.Len() {
			items = append(items, fmt.Sprint(v.Index(i).Interface()))
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprint(v.Interface())
}

// Kind is a word for what the option takes, for help.
func (o Option) Kind() string {
	if word := o.tag.Get("takes"); word != "" {
		return word
	}
	if words := o.Words(); words != nil {
		return strings.Join(words, "|")
	}
	t := o.value.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	list := t.Kind() == reflect.Slice
	if list {
		t = t.Elem()
	}
	kind := "TEXT"
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		kind = "N"
	case reflect.Float64:
		kind = "X"
	}
	if list {
		kind += ",..."
	}
	return kind
}

// Words are those that may be chosen, nil where it takes something else.
func (o Option) Words() []string {
	if words := o.tag.Get("oneof"); words != "" {
		return strings.Split(words, "|")
	}
	return nil
}

// read parses text into a value of the option's type.
func (o Option) read(v reflect.Value, text string) error {
	if reader, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return reader.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return o.read(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for item := range strings.SplitSeq(text, ",") {
			one := reflect.New(v.Type().Elem()).Elem()
			if err := o.read(one, strings.TrimSpace(item)); err != nil {
				return err
			}
			v.Set(reflect.Append(v, one))
		}
		return nil
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return wrong(err, text, "true or false")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		return wrong(err, text, "a whole number")
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		v.SetUint(n)
		return wrong(err, text, "a whole number of 0 or more")
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		v.SetFloat(x)
		return wrong(err, text, "a number")
	}
	panic(fmt.Sprintf("option %s: a field of type %s is no option", o.Field, v.Type()))
}

func wrong(err error, text, want string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q is not %s", text, want)
}

// check holds a value against the tags.
func (o Option) check(v reflect.Value) error {
	v = reflect.Indirect(v)
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			if err := o.check(v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	if words := o.Words(); words != nil && !slices.Contains(words, v.String()) {
		return fmt.Errorf("%q is not one of %s", v.String(), strings.Join(words, ", "))
	}
	var number float64
	switch {
	case v.CanInt():
		number = float64(v.Int())
	case v.CanUint():
		number = float64(v.Uint())
	case v.CanFloat():
		number = v.Float()
		if math.IsNaN(number) || math.IsInf(number, 0) {
			return fmt.Errorf("%v is not a finite number", number)
		}
	default:
		return nil
	}
	for _, bound := range []struct {
		tag, word string
		sign      float64
	}{{"min", "at least", 1}, {"max", "at most", -1}} {
		text := o.tag.Get(bound.tag)
		if text == "" {
			continue
		}
		limit, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic(fmt.Sprintf("option %s: %s: %v", o.Field, bound.tag, err))
		}
		if bound.sign*number < bound.sign*limit {
			return fmt.Errorf("%v is not %s %s", v.Interface(), bound.word, text)
		}
	}
	return nil
}

// Settings are options with what was chosen, as result.json has them: a JSON object in the order of declaration. The name of
// an entry is that of the flag, with an underscore for each hyphen.
type Settings []Setting

// Setting is one entry of [Settings].
type Setting struct {
	Name  string
	Value any
}

// SettingsOf lists the options of some groups that are not empty.
func SettingsOf(target any, groups ...string) Settings {
	var settings Settings
	for _, o := range Of(target, groups...) {
		if !o.value.IsZero() && o.tag.Get("record") != "no" {
			settings = append(settings, Setting{strings.ReplaceAll(o.Flag, "-", "_"), reflect.Indirect(o.value).Interface()})
		}
	}
	return settings
}

// MarshalJSON implements [json.Marshaler].
func (s Settings) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, setting := range s {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(setting.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(setting.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setting.Name, err)
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

var named = regexp.MustCompile(`\boption ([A-Z][A-Za-z]*)\b`)

// AsFlags names options by their flags: "option Batch" becomes --batch. What is not among the options of the targets, given
// by their addresses, stays.
func AsFlags(message string, targets ...any) string {
	return named.ReplaceAllStringFunc(message, func(found string) string {
		field := named.FindStringSubmatch(found)[1]
		for _, target := range targets {
			for _, o := range Of(target) {
				if o.Field == field {
					return "--" + o.Flag
				}
			}
		}
		return found
	})
}
