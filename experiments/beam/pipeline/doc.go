// Package pipeline decomposes the pictures of a data set on several machines, as an Apache Beam pipeline.
//
// A [Job] says what is decomposed and where the store is: a directory that all machines see under the same name. The
// data set is cut into shards, each some whole chunks of the store:
//
//	plan     one worker opens model and data, hashes the data and cuts it into shards
//	extract  the workers decompose shards and put their chunks into the store
//	finish   when all shards are done, one worker checks every chunk and writes the manifest
//
// # Retries
//
// A runner may do a bundle of shards again, after a failure or because the first try is slow, even while that still
// runs. The store is the same afterwards, as if each shard had been done once: a chunk file is named by the hash of its
// content, written beside its place and renamed, and what is there and good is not computed again (see package cache).
// A worker that dies loses the chunk it is computing and nothing else. Numbers that a device rounds differently from run
// to run would make two files of a chunk; the manifest then names one of them.
//
// Flink does failed bundles again itself when its restart strategy says so. Prism, Beam's local runner, gives up at the
// first failure: [Run] then submits the whole job again, which finds what is done. Prism may even take a failed bundle for
// one that is done, when it asks for the bundle's progress at that moment, or wait for a worker that died. So the last step
// believes only the store, which it reads whole, Run believes only the counter of that step, and [Tries] limits the time.
//
// # Counters
//
// The counters pictures, bad_pictures, chunks_written, chunks_found, shards, bundles and stores_complete, and the
// distribution shard_milliseconds are in the namespace [Namespace]. Runners count what was attempted: work of a bundle that
// failed may or may not be in them. The number of pictures left out that is held against Job.MaxBad is that of the store.
package pipeline
