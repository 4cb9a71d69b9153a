package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Settings lists the fields of a configuration as encoding/json writes them, in their order. Lists and objects of one level
// are written out.
func Settings(config any) ([]Setting, error) {
	content, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, fmt.Errorf("settings: %T has no fields", config)
	}
	var settings []Setting
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("settings: %w", err)
		}
		settings = append(settings, Setting{fmt.Sprint(name), plainValue(value)})
	}
	return settings, nil
}

// plainValue writes a value without the quotes and brackets of JSON, as far as that is clear.
func plainValue(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) == nil {
		items := make([]string, len(list))
		for i, item := range list {
			items[i] = plainValue(item)
		}
		return strings.Join(items, ", ")
	}
	return string(value)
}
