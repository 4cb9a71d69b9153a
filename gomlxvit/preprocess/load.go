package preprocess

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"vitdecompose/data/picture"
)

// Source is where [Load] takes pictures from; every data.Dataset is one.
type Source interface {
	// Len returns the number of pictures.
	Len() int
	// Picture returns picture i, 0 <= i < Len. Its errors name the picture. It is called from several goroutines.
	Picture(i int) (*picture.Picture, error)
}

// LoadOptions says how [Load] goes about it.
type LoadOptions struct {
	// Batch is the number of pictures of a batch; 0 means 8.
	Batch int
	// Workers is the number of pictures decoded at a time; 0 means one per processor.
	Workers int
	// Orient turns pictures upright by their EXIF orientation first, which neither timm nor open_clip does.
	Orient bool
	// From is the index of the first picture, for going on where an earlier run stopped.
	From int
	// MaxBad is how many pictures that cannot be read are left out, and listed in Batch.Skipped, before Load gives up:
	// 0 gives up at the first, a negative number never.
	MaxBad int
}

// Batch is some consecutive pictures of a source, ready for the model.
type Batch struct {
	// First is the index of the first picture asked for and Next one past the last: the next batch begins there.
	First, Next int
	// N is the number of pictures in Pixels: Next - First without those skipped, possibly 0.
	N int
	// Indices holds the index of each of them in the source.
	Indices []int
	// Pixels is [N, 3, height, width], normalised. It is the caller's to keep.
	Pixels []float32
	// Skipped has a [*PictureError] for each picture left out.
	Skipped []error
}

// A PictureError says why a picture of a source could not be used. Its message names the picture.
type PictureError struct {
	Index int
	Err   error
}

func (e *PictureError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the picture itself.
func (e *PictureError) Unwrap() error { return e.Err }

// Load prepares all pictures of a source, on several cores, and yields them in order, in batches. At most two batches exist
// at a time beside those the caller keeps, so memory does not grow with the number of pictures. The iteration ends after
// the last batch or with the first error: a picture that cannot be read (see LoadOptions.MaxBad), a Config that cannot be
// used, or the end of ctx. When it has ended, for whatever reason, nothing is running any more.
func Load(ctx context.Context, src Source, c Config, opts LoadOptions) iter.Seq2[Batch, error] {
	if opts.Batch <= 0 {
		opts.Batch = 8
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	return func(yield func(Batch, error) bool) {
		if err := c.Check(); err != nil {
			yield(Batch{}, err)
			return
		}
		if opts.From < 0 {
			yield(Batch{}, fmt.Errorf("loading pictures: cannot begin at picture %d", opts.From))
			return
		}
		l := loader{src: src, config: c, opts: opts, jobs: make(chan job), queue: make(chan *pending, 1)}
		inner, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { l.produce(inner) })
		for range opts.Workers {
			running.Go(func() { l.work(inner) })
		}

		bad := 0
		for {
			var p *pending
			select {
			case p = <-l.queue:
			case <-ctx.Done():
				yield(Batch{}, context.Cause(ctx))
				return
			}
			if p == nil { // the queue is closed: all done, or cancelled
				if ctx.Err() != nil {
					yield(Batch{}, context.Cause(ctx))
				}
				return
			}
			select {
			case <-p.done:
			case <-ctx.Done():
				yield(Batch{}, context.Cause(ctx))
				return
			}
			b := p.batch()
			bad += len(b.Skipped)
			if bad > opts.MaxBad && opts.MaxBad >= 0 {
				err := b.Skipped[0]
				if opts.MaxBad > 0 {
					err = fmt.Errorf("more than %d pictures cannot be read: %w", opts.MaxBad, errors.Join(b.Skipped...))
				}
				yield(Batch{}, err)
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

type loader struct {
	src    Source
	config Config
	opts   LoadOptions
	jobs   chan job
	// queue holds batches in order while they are filled. Its capacity bounds how far ahead of the caller work goes.
	queue chan *pending
}

// pending is a batch that is being filled.
type pending struct {
	first  int
	pixels []float32
	errs   []error
	left   atomic.Int64 // pictures not done yet
	done   chan struct{}
}

type job struct {
	to  *pending
	row int
}

// produce hands out the work, in order, and waits where the queue is full.
func (l *loader) produce(ctx context.Context) {
	defer close(l.jobs)
	defer close(l.queue)
	n := l.src.Len()
	for first := l.opts.From; first < n; first += l.opts.Batch {
		count := min(l.opts.Batch, n-first)
		p := &pending{first: first, errs: make([]error, count), done: make(chan struct{})}
		p.left.Store(int64(count))
		select {
		case l.queue <- p:
		case <-ctx.Done():
			return
		}
		p.pixels = make([]float32, count*3*l.config.Size[0]*l.config.Size[1])
		for row := range count {
			select {
			case l.jobs <- job{p, row}:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (l *loader) work(ctx context.Context) {
	for {
		select {
		case j, ok := <-l.jobs:
			if !ok {
				return
			}
			size := len(j.to.pixels) / len(j.to.errs)
			i := j.to.first + j.row
			if err := l.one(j.to.pixels[j.row*size:(j.row+1)*size], i); err != nil {
				j.to.errs[j.row] = &PictureError{i, err}
			}
			if j.to.left.Add(-1) == 0 {
				close(j.to.done)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (l *loader) one(out []float32, i int) error {
	p, err := l.src.Picture(i)
	if err != nil {
		return err
	}
	defer picture.Hold(p)() // so that other large pictures wait until this one is done with
	if l.opts.Orient && p != nil {
		p = p.Orient()
	}
	if err := l.config.apply(out, p); err != nil {
		if p != nil && p.Name != "" {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		return fmt.Errorf("picture %d: %w", i, err)
	}
	return nil
}

// batch returns the finished batch; pictures that failed are squeezed out.
func (p *pending) batch() Batch {
	b := Batch{First: p.first, Next: p.first + len(p.errs)}
	size := len(p.pixels) / len(p.errs)
	for row, err := range p.errs {
		if err != nil {
			b.Skipped = append(b.Skipped, err)
			continue
		}
		if b.N != row {
			copy(p.pixels[b.N*size:(b.N+1)*size], p.pixels[row*size:])
		}
		b.Indices = append(b.Indices, p.first+row)
		b.N++
	}
	b.Pixels = p.pixels[:b.N*size]
	return b
}
