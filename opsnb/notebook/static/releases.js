// releases
