"""Messaging for a Django site: members' devices hold a TMTP connection and get what the site and others send."""
