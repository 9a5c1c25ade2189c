"""The report's figures: functions from a scenario's rows to panels, as inline SVG."""
