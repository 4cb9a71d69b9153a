package decompose

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// Basis returns an orthonormal basis [k, dim] of the span of text embeddings [text, dim]: Q of the QR decomposition with the
// embeddings as columns, in which vector k depends on the first k+1 texts alone. A text that lies in the span of those
// before it, such as a second one of the same words, adds no vector.
func Basis(embeddings []float32, dim int) ([]float64, error) {
	if dim < 1 || len(embeddings) == 0 || len(embeddings)%dim != 0 {
		return nil, fmt.Errorf("%d numbers are not text embeddings of %d dimensions", len(embeddings), dim)
	}
	const dependent = 1e-6 // of a text's length: what float32 embeddings leave of a text that is the sum of others
	var basis []float64
	for text := range len(embeddings) / dim {
		v := make([]float64, dim)
		for d, x := range embeddings[text*dim:][:dim] {
			v[d] = float64(x)
		}
		length := norm(v)
		if math.IsNaN(length) || math.IsInf(length, 0) {
			return nil, fmt.Errorf("text embedding %d is not finite", text)
		}
		for range 2 { // once more, for what rounding left
			for q := range slices.Chunk(basis, dim) {
				along := dot(v, q)
				for d := range v {
					v[d] -= along * q[d]
				}
			}
		}
		rest := norm(v)
		if rest <= dependent*length || len(basis) == dim*dim {
			continue
		}
		for _, x := range v {
			basis = append(basis, x/rest)
		}
	}
	if len(basis) == 0 {
		return nil, errors.New("the text embeddings are all zero, and span nothing")
	}
	return basis, nil
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

func norm(x []float64) float64 { return math.Sqrt(dot(x, x)) }

// VarianceExplained is, for each component, the share of its variance over the pictures that lies in the span of a basis
// [k, dim]: trace cov(c_i Q) / trace cov(c_i) of arXiv 2406.01583. A component that does not vary has 0.
func VarianceExplained(c *Contributions, basis []float64) ([]float64, error) {
	scores, err := scoresOn(c, basis)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(c.Components))
	err = eachComponent(c, func(i int) error {
		total := 0.0
		centre := make([]float64, c.Dim) // seen from the first picture
		start := c.Row(i, 0)
		for picture := range c.Pictures {
			for d, v := range c.Row(i, picture) {
				centre[d] += (float64(v) - float64(start[d])) / float64(c.Pictures)
			}
		}
		for picture := range c.Pictures {
			for d, v := range c.Row(i, picture) {
				total += square(float64(v) - float64(start[d]) - centre[d])
			}
		}
		within := 0.0
		for _, score := range scores[i] {
			within += squares(score)
		}
		if total > 0 {
			out[i] = within / total
		}
		return finite(out[i], c.Components[i])
	})
	return out, err
}

// VarianceAttributed is, for each component, how much it carries of what the whole representation says along a basis [k,
// dim]: the mean over the basis vectors q of the correlation over the pictures of the component's score c_i q with the total
// score, the sum over all components. As in the code of arXiv 2406.01583 a correlation is a mean over n pictures divided by
// deviations over n-1, so it ends at (n-1)/n. A component whose score does not vary has correlation 0.
func VarianceAttributed(c *Contributions, basis []float64) ([]float64, error) {
	return attributed(c, basis, func(total, own []float64) float64 {
		if r := RankingCorrelation(total, own); !math.IsNaN(r) {
			return r
		}
		return 0
	})
}

// CovarianceAttributed is [VarianceAttributed] without the deviations: the mean over the basis vectors of the covariance of
// the component's score with the total score. It knows how much a component says, not only how alike, and the covariances of
// all components sum to the variance of the total: what is lost of it when a component is replaced by its mean.
func CovarianceAttributed(c *Contributions, basis []float64) ([]float64, error) {
	return attributed(c, basis, func(total, own []float64) float64 { return dot(total, own) / float64(len(own)) })
}

// attributed is the mean over the vectors of a basis of how alike the total score and a component's are, both centred.
func attributed(c *Contributions, basis []float64, alike func(total, own []float64) float64) ([]float64, error) {
	scores, err := scoresOn(c, basis)
	if err != nil {
		return nil, err
	}
	total := make([][]float64, len(basis)/c.Dim)
	for k := range total {
		total[k] = make([]float64, c.Pictures)
		for i := range c.Components {
			for picture, v := range scores[i][k] {
				total[k][picture] += v
			}
		}
	}
	out := make([]float64, len(c.Components))
	for i := range c.Components {
		for k := range total {
			out[i] += alike(total[k], scores[i][k]) / float64(len(total))
		}
		if err := finite(out[i], c.Components[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scoresOn are the contributions along the vectors of a basis, centred over the pictures: [component][vector][picture].
// They are taken relative to the first picture, so that a component that does not vary has scores of exactly 0; so has one
// that varies only across a vector.
func scoresOn(c *Contributions, basis []float64) ([][][]float64, error) {
	switch {
	case len(basis) == 0 || len(basis)%c.Dim != 0:
		return nil, fmt.Errorf("%d numbers are not a basis in %d dimensions", len(basis), c.Dim)
	case c.Pictures < 2:
		return nil, errors.New("one picture has no variance; take two pictures or more")
	}
	vectors := len(basis) / c.Dim
	q := mat.NewDense(vectors, c.Dim, basis)
	out := make([][][]float64, len(c.Components))
	err := eachComponent(c, func(i int) error {
		out[i] = make([][]float64, vectors)
		for k := range out[i] {
			out[i][k] = make([]float64, c.Pictures)
		}
		// Some pictures at a time, so that the wide copy stays in the processor's cache.
		const block = 64
		rows := make([]float64, block*c.Dim)
		var product mat.Dense
		start, spread := c.Row(i, 0), 0.0
		for first := 0; first < c.Pictures; first += block {
			count := min(block, c.Pictures-first)
			for j, v := range c.Values[(i*c.Pictures+first)*c.Dim:][:count*c.Dim] {
				rows[j] = float64(v) - float64(start[j%c.Dim])
			}
			spread += squares(rows[:count*c.Dim])
			product.Reset()
			product.Mul(q, mat.NewDense(count, c.Dim, rows[:count*c.Dim]).T())
			for k := range vectors {
				copy(out[i][k][first:], product.RawRowView(k))
			}
		}
		for _, score := range out[i] {
			centre := 0.0
			for _, v := range score {
				centre += v / float64(c.Pictures)
			}
			if err := finite(centre, c.Components[i]); err != nil {
				return err
			}
			for picture := range score {
				score[picture] -= centre
			}
			clearRounding(score, spread)
		}
		return nil
	})
	return out, err
}

// clearRounding sets a centred score to 0 if it is what rounding left of numbers whose squares sum to from, and no score: it
// would correlate with anything.
func clearRounding(score []float64, from float64) {
	const rounding = 1e-13
	if squares(score) <= square(rounding)*from {
		clear(score)
	}
}

// eachComponent does something for each component, on all processors.
func eachComponent(c *Contributions, do func(i int) error) error {
	errs := make([]error, len(c.Components))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(c.Components)) {
		workers.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range c.Components {
		next <- i
	}
	close(next)
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func finite(x float64, component string) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Errorf("the contributions of %s are not finite", component)
	}
	return nil
}

func squares(x []float64) float64 { return dot(x, x) }

// Margin is one feature's score of each component minus the largest of the others', for scores [feature][component]: what a
// component carries of this feature beyond any other. Of one feature alone it is the score.
func Margin(scores [][]float64, feature int) []float64 {
	out := slices.Clone(scores[feature])
	for i := range out {
		best := math.Inf(-1)
		for f := range scores {
			if f != feature {
				best = max(best, scores[f][i])
			}
		}
		if !math.IsInf(best, -1) {
			out[i] -= best
		}
	}
	return out
}

// Order lists the indices of scores, largest first; of equal ones the first comes first, and what is not a number last.
func Order(scores []float64) []int {
	order := upTo(len(scores))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order
}
