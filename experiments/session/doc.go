// Package session opens what an experiment needs, from names: models, pictures, heads, references and alignments, each of
// them once. The command line, notebooks and the Beam job fill in its Options and do nothing of this themselves.
//
//	s, err := session.Open(ctx, session.Options{Model: "deit-mini", Data: "scenes:1000"})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	result, err := experiments.TextRetrieval(ctx, s, experiments.TextRetrievalConfig{})
//	// ... plots.TextRetrieval(result, s.Pictures(), plots.TextRetrievalOptions{}) ...
//
// A notebook's cell is a separate program: it opens its session again and finds what earlier ones computed in the cache on
// disk. A session is for one goroutine.
package session
