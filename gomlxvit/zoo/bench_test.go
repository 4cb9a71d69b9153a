package zoo

import "testing"

// BenchmarkStep measures the training steps of the zoo, drawing and compilation
// aside.
func BenchmarkStep(b *testing.B) {
	backend := openBackend(b)
	for _, r := range Recipes() {
		b.Run(r.Name, func(b *testing.B) {
			l := r.layout()
			st, err := r.initialState(l)
			if err != nil {
				b.Fatal(err)
			}
			s, err := newStepper(backend, l, r.WeightDecay, r.task, len(st.values))
			if err != nil {
				b.Fatal(err)
			}
			defer s.close()
			step := func() {
				b.StopTimer()
				batch := r.task.draw(&r, st.step)
				b.StartTimer()
				if _, err := s.step(st, rates{1e-4, st.step + 1, 0}, batch); err != nil {
					b.Fatal(err)
				}
			}
			step() // compiles
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.N*r.Batch)/b.Elapsed().Seconds(), "pictures/s")
		})
	}
}
