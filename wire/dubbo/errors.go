package dubbo

// Code is what is wrong with a frame or a body.
type Code uint8

// The codes. The first group is about frames: no later byte of the connection can be trusted. The second is about a body, whose end is known: the next frame is as good as ever.
const (
	none Code = iota
	BadMagic
	FrameTooLarge

	UnknownSerialization
	BodyCut
	BadTag
	BadText
	BadReference
	BadCount
	TooDeep
	TooManyParameters
	BadTypes
	NoAttachments
	TooManyAttachments
	TooManyClasses
	NotHessian
	BadAnswer
	BadName
	SelfReference
	NumberTooLong
	AnswerTooLarge
	numCodes
)

// Error is why something could not be read. Each code has one Error, so errors may be compared.
type Error struct {
	Code Code
	text string
}

func (e *Error) Error() string { return "dubbo: " + e.text }

var errs = [numCodes]*Error{
	BadMagic:             {BadMagic, "a frame does not begin with 0xdabb"},
	FrameTooLarge:        {FrameTooLarge, "a frame is larger than what is let in"},
	UnknownSerialization: {UnknownSerialization, "a body is in a serialization that is not read: hessian2 and fastjson2 are"},
	BodyCut:              {BodyCut, "a body ends within a value"},
	BadTag:               {BadTag, "a value begins with a byte that begins none"},
	BadText:              {BadText, "a text is none, or is not text in its encoding"},
	BadReference:         {BadReference, "a value refers to what has not been there"},
	BadCount:             {BadCount, "a number of values is negative, or larger than the body"},
	TooDeep:              {TooDeep, "values stand in one another deeper than is read"},
	TooManyParameters:    {TooManyParameters, "a method has more parameters than Java lets one have"},
	BadTypes:             {BadTypes, "the types of parameters are none of Java's"},
	NoAttachments:        {NoAttachments, "what should be attachments is no map"},
	TooManyAttachments:   {TooManyAttachments, "a call has more than 256 attachments"},
	TooManyClasses:       {TooManyClasses, "a body defines more than 4096 classes"},
	NotHessian:           {NotHessian, "an answer is not in hessian2, in which it was asked for"},
	BadAnswer:            {BadAnswer, "an answer is neither a value nor an exception"},
	BadName:              {BadName, "a map has a key that is no text, number or boolean, of which there is no JSON"},
	SelfReference:        {SelfReference, "a value stands in itself, of which there is no JSON"},
	NumberTooLong:        {NumberTooLong, "a number has more than 1024 ints"},
	AnswerTooLarge:       {AnswerTooLarge, "an answer is larger as JSON than is let through"},
}

func fail(c Code) error { return errs[c] }
