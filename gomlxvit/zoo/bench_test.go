package zoo

import "testing"

// BenchmarkStep measures a training step of deit-mini, drawing aside.
func BenchmarkStep(b *testing.B) {
	r := deitMini()
	l := newLayout(r.Arch.Params())
	s, err := newStepper(openBackend(b), l, r.WeightDecay, r.objective)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	st, _, err := r.loadState(b.TempDir()+"/none", l)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		batch := r.draw(st.step)
		b.StartTimer()
		if _, err := s.step(st, rates{1e-4, st.step + 1}, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*r.Batch)/b.Elapsed().Seconds(), "pictures/s")
}
