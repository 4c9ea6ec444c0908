"""Where frames come from: capture files now, interfaces later."""
