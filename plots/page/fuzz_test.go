package page

import (
	"encoding/json"
	"testing"
)

// Settings come from result.json, whatever is in it.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"model": "deit-mini", "blocks": [2, 5], "of": {"a": [["x"], null]}, "": 1e3}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"a": 1, "a": 2}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		var of any
		if json.Unmarshal(config, &of) != nil {
			return
		}
		settings, err := Settings(of)
		if fields, ok := of.(map[string]any); ok && (err != nil || len(settings) != len(fields)) {
			t.Errorf("%d settings of %s, %v", len(settings), config, err)
		} else if !ok && err == nil {
			t.Errorf("%s has no fields, and settings %v", config, settings)
		}
	})
}
