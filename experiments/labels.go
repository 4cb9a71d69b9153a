package experiments

import (
	"fmt"

	"vitdecompose/data"
)

// MatchLabels is [data.MatchLabels] without its assumptions.
func MatchLabels(ds data.Dataset, modelName string, modelClasses []string, numClasses int) (data.Dataset, error) {
	matched, _, err := data.MatchLabels(ds, modelName, modelClasses, numClasses)
	if err != nil {
		return nil, fmt.Errorf("%w (--labels FILE.csv, --class-names FILE)", err)
	}
	return matched, nil
}
