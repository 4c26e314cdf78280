"""Who may do what: moving forward needs a role, going back only full membership."""
