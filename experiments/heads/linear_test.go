package heads

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"vitdecompose/data/progress"
	"vitdecompose/gomlxvit/backend"
)

// adamByHand is the training of a linear head, plainly in float64, from the same first weights and order of pictures.
func adamByHand(rows []float32, labels []int32, dim, classes int, config Config) (weights []float64, loss float64) {
	rng := rand.New(rand.NewPCG(config.Seed, headStream))
	for _, w := range initialLinear(rng, classes, dim) {
		weights = append(weights, float64(w))
	}
	m, v := make([]float64, len(weights)), make([]float64, len(weights))
	n, t := len(labels), 0.0
	for range config.Epochs {
		loss = 0
		order := rng.Perm(n)
		for first := 0; first < n; first += config.Batch {
			batch := order[first:min(first+config.Batch, n)]
			gradient := make([]float64, len(weights))
			for _, i := range batch {
				x := make([]float64, dim+1)
				for d := range dim {
					x[d] = float64(rows[i*dim+d])
				}
				x[dim] = 1
				exp, sum := make([]float64, classes), 0.0
				for c := range exp {
					logit := 0.0
					for d := range x {
						logit += weights[c*(dim+1)+d] * x[d]
					}
					exp[c] = math.Exp(logit)
					sum += exp[c]
				}
				loss -= math.Log(exp[labels[i]]/sum) / float64(n)
				for c := range exp {
					difference := exp[c] / sum
					if int32(c) == labels[i] {
						difference--
					}
					for d := range x {
						gradient[c*(dim+1)+d] += difference * x[d] / float64(len(batch))
					}
				}
			}
			t++
			for i, g := range gradient {
				m[i] = 0.9*m[i] + 0.1*g
				v[i] = 0.999*v[i] + 0.001*g*g
				weights[i] -= config.LearningRate * (m[i] / (1 - math.Pow(0.9, t))) / (math.Sqrt(v[i]/(1-math.Pow(0.999, t))) + 1e-8)
			}
		}
	}
	return weights, loss
}

func TestFitLinear(t *testing.T) {
	b, err := backend.Open("go")
	require.NoError(t, err)
	const n, dim, classes = 37, 6, 3
	rng := rand.New(rand.NewPCG(3, 3))
	rows, labels := make([]float32, n*dim), make([]int32, n)
	for i := range labels {
		labels[i] = int32(rng.IntN(classes))
		for d := range dim {
			rows[i*dim+d] = float32(rng.NormFloat64())
		}
		rows[i*dim+int(labels[i])] += 2
	}
	for name, config := range map[string]Config{
		"a last batch that is incomplete": {Epochs: 10, LearningRate: 1e-3, Batch: 8, Seed: 5},
		"one batch":                       {Epochs: 20, LearningRate: 1e-2, Batch: 64},
	} {
		t.Run(name, func(t *testing.T) {
			weight, bias, loss, err := Fit(t.Context(), b, rows, labels, classes, config, progress.Silent)
			require.NoError(t, err)
			want, wantLoss := adamByHand(rows, labels, dim, classes, config)
			require.Len(t, weight, classes*dim)
			require.Len(t, bias, classes)
			for c := range classes {
				for d := range dim {
					require.InDelta(t, want[c*(dim+1)+d], weight[c*dim+d], 1e-5)
				}
				require.InDelta(t, want[c*(dim+1)+dim], bias[c], 1e-5)
			}
			require.InDelta(t, wantLoss, loss, 1e-5)
		})
	}

	config := Config{Epochs: 2, LearningRate: 1e-3, Batch: 8}
	t.Run("numbers that are none", func(t *testing.T) {
		bad := append([]float32{float32(math.NaN())}, rows[1:]...)
		_, _, _, err := Fit(t.Context(), b, bad, labels, classes, config, progress.Silent)
		require.ErrorContains(t, err, "NaN")
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, _, err := Fit(ctx, b, rows, labels, classes, config, progress.Silent)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestInitialLinear(t *testing.T) {
	weights := initialLinear(rand.New(rand.NewPCG(1, 1)), 100, 16)
	require.Len(t, weights, 100*17)
	var mean, square float64
	for _, w := range weights {
		require.LessOrEqual(t, math.Abs(float64(w)), 0.25)
		mean += float64(w) / float64(len(weights))
		square += float64(w) * float64(w) / float64(len(weights))
	}
	require.InDelta(t, 0, mean, 0.01)
	require.InDelta(t, 0.25*0.25/3, square, 0.002)
}
