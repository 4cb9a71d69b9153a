package experiments

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// AblationCurve is what one model loses as its components are replaced, one after the other, by their mean over the
// pictures. An accuracy is a share of the pictures, 0 to 1.
type AblationCurve struct {
	// Model is the name the model goes by.
	Model string `json:"model"`
	// Pictures is how many pictures the accuracies are over.
	Pictures int `json:"pictures"`
	// Order names the components in the order of the ablation from init forward; the ablation from the last layer
	// back takes the same list from its end.
	Order []string `json:"order"`
	// FromInit and FromLast are the accuracies, [len(Order)+1]: entry k has k components ablated, entry 0 none.
	FromInit []float64 `json:"from_init"`
	FromLast []float64 `json:"from_last"`
}

// AblationResult is the layer ablation (experiment 1) of one or more models.
type AblationResult struct {
	Curves []AblationCurve `json:"curves"`
}

// Check tells what is missing in the curve, if anything is: it must have a component at least, and accuracies between
// 0 and 1, one more than components.
func (c AblationCurve) Check() error {
	if len(c.Order) == 0 {
		return fmt.Errorf("ablation of %q: no components", c.Model)
	}
	for _, direction := range []struct {
		name     string
		accuracy []float64
	}{{"from_init", c.FromInit}, {"from_last", c.FromLast}} {
		if got, want := len(direction.accuracy), len(c.Order)+1; got != want {
			return fmt.Errorf("ablation of %q: %d accuracies %s for %d components, want %d", c.Model, got, direction.name, len(c.Order), want)
		}
		for k, accuracy := range direction.accuracy {
			if !(accuracy >= 0 && accuracy <= 1) {
				return fmt.Errorf("ablation of %q: accuracy %v with %d components ablated (%s) is not between 0 and 1", c.Model, accuracy, k, direction.name)
			}
		}
	}
	return nil
}

// Layers returns how many layers are ablated at each entry of FromInit: [len(Order)+1], from 0 on. The components of
// a layer ("layer:07, mlp" and "layer:07, attns") count for equal parts of it, and a component that belongs to no
// layer ("init") for one. So models with different components in a layer share an axis.
func (c AblationCurve) Layers() []float64 {
	return layersAblated(c.Order)
}

// LayersBack is [AblationCurve.Layers] for FromLast.
func (c AblationCurve) LayersBack() []float64 {
	order := slices.Clone(c.Order)
	slices.Reverse(order)
	return layersAblated(order)
}

func layersAblated(order []string) []float64 {
	ablated := make([]float64, 1, len(order)+1)
	for whole := 0; len(order) > 0; whole++ {
		parts := 1 // how many components the next layer has: they come together
		for parts < len(order) && layerOf(order[parts]) == layerOf(order[0]) {
			parts++
		}
		for part := 1; part <= parts; part++ {
			ablated = append(ablated, float64(whole)+float64(part)/float64(parts))
		}
		order = order[parts:]
	}
	return ablated
}

// layerOf is what comes before the part of a layer: "layer:(2,14)" of "layer:(2,14), attns", "init" of "init".
func layerOf(component string) string {
	if i := strings.LastIndex(component, ", "); i >= 0 {
		return component[:i]
	}
	return component
}

// Table lists every accuracy with what was ablated last before it.
func (r AblationResult) Table() (Table, error) {
	table := Table{Header: []string{"model", "pictures", "direction", "components_ablated", "layers_ablated", "last_ablated", "accuracy"}}
	for _, curve := range r.Curves {
		if err := curve.Check(); err != nil {
			return Table{}, err
		}
		back := slices.Clone(curve.Order)
		slices.Reverse(back)
		for _, direction := range []struct {
			name             string
			order            []string
			layers, accuracy []float64
		}{
			{"from_init", curve.Order, curve.Layers(), curve.FromInit},
			{"from_last", back, curve.LayersBack(), curve.FromLast},
		} {
			for k, accuracy := range direction.accuracy {
				last := ""
				if k > 0 {
					last = direction.order[k-1]
				}
				table.Rows = append(table.Rows, []string{curve.Model, strconv.Itoa(curve.Pictures), direction.name,
					strconv.Itoa(k), number(direction.layers[k]), last, number(accuracy)})
			}
		}
	}
	return table, nil
}
