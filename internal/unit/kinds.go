package unit

import "time"

func asDuration(v any) time.Duration { return v.(time.Duration) }

var (
	textOnly   = []ValueKind{StringValue}
	textOrInt  = []ValueKind{StringValue, IntValue}
	textOrNum  = []ValueKind{StringValue, IntValue, FloatValue}
	listOrText = []ValueKind{ArrayValue, StringValue}
)

// kinds says for each kind what Build and the printers can do with it.
var kinds = [kindEnd]kindRow{
	BoolKind:     scalar(kindRow{word: "boolean", toml: []ValueKind{BoolValue}, want: "true or false", parse: parseBool}, boolText),
	StringKind:   scalar(kindRow{word: "string", toml: textOnly, want: "a string", parse: parseString}, stringText),
	NameKind:     scalar(kindRow{word: "name", toml: textOrInt, want: "a string or a number", parse: parseString}, stringText),
	PathKind:     scalar(kindRow{word: "path", toml: textOnly, want: "a string with a path", parse: parsePath}, stringText),
	IntKind:      scalar(kindRow{word: "integer", toml: textOrInt, want: "a whole number", parse: parseInt}, intText),
	WeightKind:   scalar(kindRow{word: "weight", toml: textOrInt, want: "a whole number", parse: parseWeight}, weightText),
	DurationKind: scalar(kindRow{word: "duration", toml: textOrNum, want: `a duration such as "30s"`, parse: parseDuration}, durationText),
	SizeKind:     scalar(kindRow{word: "size", toml: textOrInt, want: `a size such as "512M"`, parse: parseSize}, sizeText),
	PercentKind:  scalar(kindRow{word: "percentage", toml: textOnly, want: `a percentage such as "20%"`, parse: parsePercent}, percentText),
	ModeKind:     scalar(kindRow{word: "mode", toml: textOnly, want: `an octal mode such as "0755"`, parse: parseMode}, modeText),
	SignalKind:   scalar(kindRow{word: "signal", toml: textOrInt, want: `a signal such as "SIGTERM"`, parse: parseSignal}, signalText),
	EnumKind:     scalar(kindRow{word: "word", toml: textOnly, want: "a string", parse: parseEnum}, enumText),
	SwitchKind: scalar(kindRow{word: "boolean or word", toml: []ValueKind{StringValue, BoolValue},
		want: "true, false or a string", parse: parseEnum}, enumText),
	RlimitKind: scalar(kindRow{word: "limit", toml: textOrInt, want: `a number or a string such as "1024:4096"`, parse: parseRlimit}, rlimitText),
	ExitSetKind: {word: "exit statuses", toml: []ValueKind{ArrayValue, StringValue, IntValue}, want: "an array of numbers and names",
		parse: parseExitSet, items: exitItems, join: joinExits,
		size: func(any) int { return 1 }, take: func(v any, _ []int) any { return v }, text: exitText},
	UnitKind: scalar(kindRow{word: "unit", toml: textOnly, want: "a string with a unit name", parse: parseUnit}, unitText),
	UnitsKind: list(kindRow{word: "units", parse: eachWord(keepEscapes, oneUnit), items: eachItem(oneUnit)},
		unitText),
	WordsKind: list(kindRow{word: "words", toml: []ValueKind{ArrayValue, StringValue, IntValue, BoolValue}, want: "an array of strings",
		parse: eachWord(cEscapes, oneWord), items: eachItem(oneWord)}, wordText),
	LinesKind: list(kindRow{word: "lines", parse: eachLine(oneLine), items: eachItem(oneLine)}, stringText),
	PathsKind: list(kindRow{word: "paths", parse: eachWord(cEscapes, onePath), items: eachItem(onePath)}, wordText),
	EnvironmentKind: list(kindRow{word: "variables", toml: []ValueKind{TableValue, ArrayValue, StringValue},
		want: "a table of strings", parse: eachWord(cEscapes, oneVariable), items: eachItem(oneVariable)}, wordText),
	ExecsKind:      list(kindRow{word: "command lines", parse: parseExecs, items: execItems}, execText),
	ConditionsKind: list(kindRow{word: "condition", toml: []ValueKind{ArrayValue, StringValue, BoolValue, IntValue}, want: "a string or an array of strings", parse: eachLine(oneCondition), items: eachItem(oneCondition)}, conditionItem),
	ListensKind: list(kindRow{word: "address", toml: []ValueKind{ArrayValue, StringValue, IntValue}, want: "a string, a port or an array of them",
		parse: eachLine(oneListen), items: eachItem(oneListen)}, listenItem),
	CalendarsKind:  list(kindRow{word: "calendar events", parse: eachLine(oneCalendar), items: eachItem(oneCalendar)}, calendarItem),
	MonotonicsKind: list(kindRow{word: "duration", toml: []ValueKind{ArrayValue, StringValue, IntValue, FloatValue}, want: `a duration such as "15min"`, parse: eachLine(oneMonotonic), items: eachItem(oneMonotonic)}, monotonicItem),
	WatchesKind:    list(kindRow{word: "path", parse: eachLine(oneWatch), items: eachItem(oneWatch)}, watchItem),
	BindMountsKind: list(kindRow{word: "bind mounts", parse: eachWord(cEscapes, oneBind), items: eachItem(oneBind),
		toml: listOrText, want: "an array of {source, target, writable}"}, bindItem),
}
