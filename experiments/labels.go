package experiments

import "vitdecompose/data"

// MatchLabels is [data.MatchLabels] without its assumptions.
func MatchLabels(ds data.Dataset, modelName string, modelClasses []string, numClasses int) (data.Dataset, error) {
	matched, _, err := data.MatchLabels(ds, modelName, modelClasses, numClasses)
	return matched, err
}
