// Package session opens what an experiment needs, from names, and runs the experiments on it. Notebooks use it: each of
// their cells is a program of its own, so a cell opens its session again and finds what earlier ones computed in the
// cache on disk.
//
//	s, err := session.Open(ctx, session.Options{Model: "deit-mini", Data: "scenes:1000"})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	sheet, err := s.TextRetrieval(ctx, experiments.TextRetrievalConfig{})
//	// ... plots.TextRetrieval(sheet, s.Pictures(), plots.TextRetrievalOptions{}) ...
//
// What is left open is as the command line has it. A session is for one goroutine.
package session
