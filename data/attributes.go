package data

// Attributed is a data set that knows more than the class about its pictures.
type Attributed interface {
	Dataset
	// Attributes is what is known about picture i, by the name of the feature: "color" is "red", say. What the
	// picture is known to have none of is there with "", and what is not known is not there. The map is the caller's.
	Attributes(i int) map[string]string
}

// Wrapper is a data set that shows another one's pictures, one for one and in their order, and changes something else.
type Wrapper interface {
	Dataset
	Unwrap() Dataset
}

// Attributes is what ds, or a data set that it wraps, knows about picture i; nil when it knows nothing.
func Attributes(ds Dataset, i int) map[string]string {
	for {
		if attributed, ok := ds.(Attributed); ok {
			return attributed.Attributes(i)
		}
		wrapper, ok := ds.(Wrapper)
		if !ok {
			return nil
		}
		ds = wrapper.Unwrap()
	}
}
