"""Facts as others read them: the event's JSON, formats, metrics, words on the screen."""
