package decompose

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// TextSpanOptions say how a component is described. Zero fields stand for the values in their comments.
type TextSpanOptions struct {
	Texts int // how many texts are looked for; 0: 10
	// Rank first projects the texts onto the span of this many top right singular vectors of the data; 0 does not project.
	Rank int
}

// Description is a text that describes a component.
type Description struct {
	Text int // index into the bank
	// Deviation is the deviation over the pictures (over n-1) of the data along what was left of the text when it was chosen.
	Deviation float64
	// Explained is the share of the data's variance that this text and those before it span.
	Explained float64
}

// TextSpan describes a component, rows [picture, dim] in CLIP's space, by texts of a bank [text, dim] (Gandelsman et al.
// 2023, arXiv 2310.05916): again and again it takes the text along which the centred data deviate most, and removes its
// direction from the data and from all texts. Texts count as long as they are: they are not normalised, neither at first nor
// after a removal, so give unit rows. It ends early when no text is left along which the data vary.
//
// The data are never projected: with the covariance C, a text t has the variance t'Ct. Once the direction u is taken, what is
// left of t is t - (t.u)u; it is orthogonal to all directions taken, so C can stay, and the variance changes by -2(t.u)(u'Ct)
// + (t.u)^2 u'Cu. That is two products with the bank for each text that is found, however many pictures there are.
func TextSpan(rows []float32, dim int, bank []float32, opts TextSpanOptions) ([]Description, error) {
	switch {
	case dim < 1 || len(rows)%dim != 0 || len(bank)%dim != 0:
		return nil, fmt.Errorf("%d and %d numbers are not rows of %d dimensions", len(rows), len(bank), dim)
	case len(bank) == 0:
		return nil, errors.New("there are no texts to describe a component by")
	case len(rows) < 2*dim:
		return nil, errors.New("describing a component takes two pictures or more")
	case opts.Texts < 0 || opts.Rank < 0:
		return nil, fmt.Errorf("%d texts of rank %d: neither may be negative", opts.Texts, opts.Rank)
	}
	if opts.Texts == 0 {
		opts.Texts = 10
	}
	data, texts := wideRows(rows, dim), wideRows(bank, dim)
	if sum := mat.Sum(data) + mat.Sum(texts); math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil, errors.New("the component or the texts hold numbers that are not finite")
	}
	if opts.Rank > 0 {
		var err error
		if texts, err = projected(texts, data, opts.Rank); err != nil {
			return nil, err
		}
	}
	covariance := covarianceOf(data)
	total := mat.Trace(covariance)
	n, _ := texts.Dims()

	var images mat.Dense // texts times the covariance
	images.Mul(texts, covariance)
	variances, lengths := make([]float64, n), make([]float64, n)
	for t := range n {
		variances[t] = mat.Dot(texts.RowView(t), images.RowView(t))
		lengths[t] = mat.Norm(texts.RowView(t), 2)
	}
	var found []Description
	explained := 0.0
	along, across := mat.NewVecDense(n, nil), mat.NewVecDense(n, nil)
	for len(found) < opts.Texts {
		best := -1
		for t, v := range variances {
			// A text of which next to nothing is left has been described by others.
			if mat.Norm(texts.RowView(t), 2) > 1e-6*lengths[t] && (best < 0 || v > variances[best]) {
				best = t
			}
		}
		if best < 0 || !(variances[best] > 1e-12*total*square(lengths[best])) {
			break
		}
		u := mat.VecDenseCopyOf(texts.RowView(best))
		length := mat.Norm(u, 2)
		u.ScaleVec(1/length, u)
		var image mat.VecDense
		image.MulVec(covariance, u)
		own := mat.Dot(u, &image)
		explained += own
		found = append(found, Description{Text: best, Deviation: math.Sqrt(variances[best]), Explained: explained / total})
		along.MulVec(texts, u)
		across.MulVec(texts, &image)
		for t := range n {
			a := along.AtVec(t)
			variances[t] = max(0, variances[t]-2*a*across.AtVec(t)+a*a*own)
		}
		texts.RankOne(texts, -1, along, u)
	}
	return found, nil
}

func square(x float64) float64 { return x * x }

// wideRows converts rows [row, dim].
func wideRows(rows []float32, dim int) *mat.Dense {
	wide := make([]float64, len(rows))
	for i, v := range rows {
		wide[i] = float64(v)
	}
	return mat.NewDense(len(rows)/dim, dim, wide)
}

// covarianceOf is the covariance [dim, dim] of rows, over n-1. The rows are centred in place, as seen from the first, so
// that what does not vary becomes exactly 0.
func covarianceOf(rows *mat.Dense) *mat.Dense {
	n, dim := rows.Dims()
	start, centre := slices.Clone(rows.RawRowView(0)), make([]float64, dim)
	for i := range n {
		row := rows.RawRowView(i)
		for d := range row {
			row[d] -= start[d]
			centre[d] += row[d] / float64(n)
		}
	}
	for i := range n {
		row := rows.RawRowView(i)
		for d := range row {
			row[d] -= centre[d]
		}
	}
	// A copy, since Mul takes a single processor for a matrix and its own transpose.
	var covariance mat.Dense
	covariance.Mul(mat.DenseCopyOf(rows.T()), rows)
	covariance.Scale(1/float64(n-1), &covariance)
	return &covariance
}

// projected projects texts on the span of the top right singular vectors of the data, which are not centred for this.
func projected(texts, data *mat.Dense, rank int) (*mat.Dense, error) {
	n, dim := data.Dims()
	var gram mat.SymDense // its eigenvectors are the data's right singular vectors
	gram.SymOuterK(1, data.T())
	var eigen mat.EigenSym
	if !eigen.Factorize(&gram, true) {
		return nil, errors.New("the singular vectors of the component cannot be computed")
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors) // ascending
	top := vectors.Slice(0, dim, dim-min(rank, n, dim), dim)
	var coordinates, out mat.Dense
	coordinates.Mul(texts, top)
	out.Mul(&coordinates, top.T())
	return &out, nil
}
